"""mmdet's RetinaNet and proposal heads, whose targets are computed without waiting for the GPU.

mmdet writes the targets of an image to lists of boxes: those inside, the positive, the negative.
The length of each list is a number that the CPU waits for. Here targets are computed for all
boxes, and masks select them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator, anchor_inside_flags
from mmdet.models.task_modules.samplers import PseudoSampler
from mmengine.structures import InstanceData
from torch import Tensor

from .assigning import DeviceMaxIoUAssigner
from .sampling import DeviceRandomSampler


@dataclass
class Counts:
    """What mmdet reads of the sampled boxes of an image.

    Attributes:
        avg_factor: divisor of the losses: the number of sampled boxes, or of positive ones.
    """

    avg_factor: int | Tensor


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

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: InstanceData,
        img_meta: dict,
        gt_instances_ignore: InstanceData | None = None,
        unmap_outputs: bool = True,
    ) -> tuple:
        """Targets of an image, as mmdet's; masks in place of the indices of boxes, which
        ``get_targets`` does not read."""
        inside = anchor_inside_flags(
            flat_anchors, valid_flags, img_meta['img_shape'][:2], self.train_cfg['allowed_border']
        )
        bordered = self.train_cfg['allowed_border'] >= 0 and not inside.any()
        if bordered or not unmap_outputs or not self._covers(flat_anchors, gt_instances):
            return super()._get_targets_single(
                flat_anchors, valid_flags, gt_instances, img_meta, gt_instances_ignore,
                unmap_outputs,
            )  # fmt: skip
        overlaps = self.assigner.iou_calculator(gt_instances.bboxes, flat_anchors)
        overlaps.masked_fill_(~inside, -1)
        assigned = self.assigner.assign_wrt_overlaps(overlaps, gt_instances.labels).gt_inds
        assigned.masked_fill_(~inside, -1)
        positive, negative, factor = self._sampled(assigned)
        labels, targets = self._wanted(flat_anchors, gt_instances, assigned, positive)
        weight = self.train_cfg['pos_weight']
        label_weights = torch.where(positive, weight if weight > 0 else 1.0, negative.float())
        box_weights = positive[:, None].to(targets.dtype).expand_as(targets)
        counts = Counts(factor)
        return labels, label_weights, targets, box_weights, positive, negative, counts

    def _covers(self, anchors: Tensor, gt_instances: InstanceData) -> bool:
        assigner, sampler = self.assigner, self.sampler
        if type(assigner) is not DeviceMaxIoUAssigner or assigner.ignore_iof_thr > 0:
            return False
        if assigner.perm_repeat_gt_cfg is not None or assigner.gpu_assign_thr > 0:
            return False
        if type(anchors) is not Tensor or type(gt_instances.bboxes) is not Tensor:
            return False
        if type(sampler) is DeviceRandomSampler:
            return not sampler.add_gt_as_proposals
        return type(sampler) is PseudoSampler

    def _sampled(self, assigned: Tensor) -> tuple[Tensor, Tensor, int | Tensor]:
        """Masks of the positive and negative boxes, and the divisor of the losses."""
        if type(self.sampler) is PseudoSampler:
            positive = assigned > 0
            return positive, assigned == 0, positive.sum().clamp(min=1)
        indices = self.sampler.draw(assigned)
        masks = [torch.zeros_like(assigned, dtype=torch.bool) for _ in indices]
        for mask, index in zip(masks, indices, strict=True):
            mask.index_fill_(0, index, True)
        return *masks, sum(max(len(index), 1) for index in indices)

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


class DeviceRPNHead(DeviceTargets, RPNHead):
    """mmdet's proposal head, which waits once per image for the number of boxes to draw from."""
