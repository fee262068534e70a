"""mmdet's RetinaNet and proposal heads, whose targets are computed without waiting for the GPU.

mmdet writes the targets of an image to lists of boxes: those inside, the positive, the negative.
The length of each list is a number that the CPU waits for. Here targets are computed for all
boxes, and masks select them.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator, anchor_inside_flags
from mmdet.models.task_modules.samplers import PseudoSampler
from mmdet.models.utils import images_to_levels
from mmengine.structures import InstanceData
from torch import Tensor

from .assigning import DeviceMaxIoUAssigner
from .proposals import DeviceProposals
from .sampling import DeviceRandomSampler


class DeviceTargets:
    """For heads of mmdet's ``AnchorHead``: targets of all boxes at once.

    Covers ``DeviceMaxIoUAssigner`` without ignored regions, with ``PseudoSampler`` or
    ``DeviceRandomSampler``. Others are computed by mmdet.
    """

    def get_anchors(self, featmap_sizes: list, batch_img_metas: list, device: Any = 'cuda'):
        """As mmdet's: the anchors of each level, and whether they are within the image, by image.

        The base anchors are copied to the device once. The anchors of all levels are compared with
        the size of an image at once.

        Args:
            featmap_sizes: of each level.
            batch_img_metas: of each image, with ``pad_shape``.
            device: of the result.
        """
        generator = self.prior_generator
        generator.base_anchors = [anchors.to(device) for anchors in generator.base_anchors]
        if type(generator) is not AnchorGenerator:
            return super().get_anchors(featmap_sizes, batch_img_metas, device)
        anchors = generator.grid_priors(featmap_sizes, device=device)
        x, y = _corners(generator, featmap_sizes, device)
        flags = []
        for meta in batch_img_metas:
            height, width = meta['pad_shape'][:2]
            flags.append(((x < width) & (y < height)).split([len(level) for level in anchors]))
        return [anchors for _ in batch_img_metas], flags

    def get_targets(
        self,
        anchor_list: list,
        valid_flag_list: list,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
        unmap_outputs: bool = True,
        return_sampling_results: bool = False,
    ) -> tuple:
        """Targets of all images by level, as mmdet's, and the divisor of the losses.

        Args:
            anchor_list: anchors (n, 4) of each level, by image.
            valid_flag_list: which of them are within the image, (n,) of each level, by image.
            batch_gt_instances: objects of each image.
            batch_img_metas: of each image.
            batch_gt_instances_ignore: unused here.
            unmap_outputs: False, of other heads: by mmdet.
            return_sampling_results: by mmdet.
        """
        plain = unmap_outputs and not return_sampling_results
        inside = [
            anchor_inside_flags(torch.cat(levels), torch.cat(flags), meta['img_shape'][:2],
                                self.train_cfg['allowed_border'])
            for levels, flags, meta in zip(
                anchor_list, valid_flag_list, batch_img_metas, strict=True
            )
        ] if plain and self._covers(anchor_list, batch_gt_instances) else []  # fmt: skip
        if not inside or self._leaves_none(inside):
            return super().get_targets(
                anchor_list, valid_flag_list, batch_gt_instances, batch_img_metas,
                batch_gt_instances_ignore, unmap_outputs, return_sampling_results,
            )  # fmt: skip
        anchors = [torch.cat(levels) for levels in anchor_list]
        images = list(zip(anchors, batch_gt_instances, strict=True))
        assigned = [
            self._assigned(*image, mask) for image, mask in zip(images, inside, strict=True)
        ]
        sampled, factor = self._sampled(assigned)
        targets = [
            self._targets(*image, whose, *kinds)
            for image, whose, kinds in zip(images, assigned, sampled, strict=True)
        ]
        sizes = [len(level) for level in anchor_list[0]]
        return *(images_to_levels(part, sizes) for part in zip(*targets, strict=True)), factor

    def _covers(self, anchor_list: list, batch_gt_instances: list[InstanceData]) -> bool:
        assigner, sampler = self.assigner, self.sampler
        if type(assigner) is not DeviceMaxIoUAssigner or assigner.ignore_iof_thr > 0:
            return False
        if assigner.perm_repeat_gt_cfg is not None or assigner.gpu_assign_thr > 0:
            return False
        boxes = [*anchor_list[0], *(each.bboxes for each in batch_gt_instances)]
        if not all(type(each) is Tensor for each in boxes):
            return False
        if type(sampler) is DeviceRandomSampler:
            return not sampler.add_gt_as_proposals
        return type(sampler) is PseudoSampler

    def _leaves_none(self, inside: list[Tensor]) -> bool:
        """Whether an image has no anchor, which is an error of mmdet."""
        if self.train_cfg['allowed_border'] < 0:
            return False
        return not torch.stack([mask.any() for mask in inside]).all()

    def _assigned(self, anchors: Tensor, wanted: InstanceData, inside: Tensor) -> Tensor:
        """Number of the object of each anchor from 1, (n,); 0: background, -1: neither."""
        overlaps = self.assigner.iou_calculator(wanted.bboxes, anchors)
        overlaps.masked_fill_(~inside, -1)
        assigned = self.assigner.assign_wrt_overlaps(overlaps, wanted.labels).gt_inds
        return assigned.masked_fill_(~inside, -1)

    def _sampled(
        self, assigned: list[Tensor]
    ) -> tuple[list[tuple[Tensor, Tensor]], int | float | Tensor]:
        """Masks of the positive and negative boxes of each image, and the divisor of the losses."""
        if type(self.sampler) is PseudoSampler:
            masks = [(each > 0, each == 0) for each in assigned]
            return masks, sum(positive.sum().clamp(min=1) for positive, _ in masks)
        drawn = self.sampler.draw_all(assigned)
        masks = []
        for each, found in zip(assigned, drawn, strict=True):
            two = torch.zeros(2, len(each), dtype=torch.bool, device=each.device).unbind()
            masks.append((two[0].index_fill_(0, found.positive, True),
                          two[1].index_fill_(0, found.negative, True)))  # fmt: skip
        return masks, sum(max(len(each.positive), 1) + max(len(each.negative), 1) for each in drawn)

    def _targets(
        self,
        anchors: Tensor,
        wanted: InstanceData,
        assigned: Tensor,
        positive: Tensor,
        negative: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Classes, their weights (n,), boxes or deltas and their weights (n, 4), of an image."""
        labels, targets = self._wanted(anchors, wanted, assigned, positive)
        weight = self.train_cfg['pos_weight']
        label_weights = torch.where(positive, weight if weight > 0 else 1.0, negative.float())
        return (
            labels,
            label_weights,
            targets,
            positive[:, None].to(targets.dtype).expand_as(targets),
        )

    def _wanted(
        self, anchors: Tensor, gt_instances: InstanceData, assigned: Tensor, positive: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Classes (n,), and boxes or their deltas (n, 4), of the positive boxes."""
        if not len(gt_instances.bboxes):
            size = 4 if self.reg_decoded_bbox else self.bbox_coder.encode_size
            nothing = anchors.new_zeros(len(anchors), size)
            return torch.full_like(assigned, self.num_classes), nothing
        whose = (assigned - 1).clamp(min=0)
        labels = torch.where(positive, gt_instances.labels[whose], self.num_classes)
        boxes = gt_instances.bboxes[whose]
        if not self.reg_decoded_bbox:
            boxes = self.bbox_coder.encode(anchors, boxes)
        return labels, torch.where(positive[:, None], boxes, 0.0)


def _corners(generator: AnchorGenerator, sizes: list, device: Any) -> tuple[Tensor, Tensor]:
    """x and y of the upper left corner of each anchor's cell, of all levels, (n,), in pixels."""
    x, y = [], []
    for (height, width), (across, down), count in zip(
        sizes, generator.strides, generator.num_base_anchors, strict=True
    ):
        cells = height, width, count
        columns = torch.arange(0, width * across, across, device=device)
        rows = torch.arange(0, height * down, down, device=device)
        x.append(columns[None, :, None].expand(cells).reshape(-1))
        y.append(rows[:, None, None].expand(cells).reshape(-1))
    return torch.cat(x), torch.cat(y)


class DeviceRetinaHead(DeviceTargets, RetinaHead):
    """mmdet's RetinaNet head, which trains without waiting for the GPU."""


class DeviceRPNHead(DeviceProposals, DeviceTargets, RPNHead):
    """mmdet's proposal head, which waits for the number of boxes to draw from, for that of boxes
    without a size, and once per image for NMS."""
