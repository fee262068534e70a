"""mmdet's pooling of regions and its mask targets, with fewer waits for the GPU."""

from typing import Any

import torch
from mmcv.ops.roi_align import roi_align
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.modules.utils import _pair

from .copying import to_device


class DeviceSingleRoIExtractor(SingleRoIExtractor):
    """mmdet's extractor, which asks once for the numbers of regions of all levels.

    Attributes:
        expected: levels (n,) of the regions of the next call, and the number of each level, if
            these are known.
    """

    expected: tuple[Tensor, list[int]] | None = None

    def forward(
        self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Features of regions, (n, C, h, w).

        Args:
            feats: maps of the levels, (B, C, H, W).
            rois: image and box, (n, 5).
            roi_scale_factor: of the boxes.
        """
        expected, self.expected = self.expected, None
        if len(feats) == 1:
            return super().forward(feats, rois, roi_scale_factor)
        if expected is None:
            expected = count_levels([(self, feats, rois)])[0]
        levels, counts = expected
        rois = rois.type_as(feats[0])
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        parts = levels.argsort(stable=True).split(counts)
        size = self.roi_layers[0].output_size
        pooled = feats[0].new_zeros(len(rois), self.out_channels, *size)
        for layer, feat, part in zip(self.roi_layers, feats, parts, strict=False):
            if len(part):
                pooled[part] = layer(feat, rois[part])
            else:  # every level has a gradient in every process
                pooled += sum(p.view(-1)[0] for p in self.parameters()) * 0.0 + feat.sum() * 0.0
        return pooled


def count_levels(calls: list[tuple[Any, tuple[Tensor, ...], Tensor]]) -> list:
    """Levels of regions, and how many are of each, for several calls of extractors at once.

    Args:
        calls: extractors, their maps and their regions.
    """
    levels = [
        extractor.map_roi_levels(rois.type_as(feats[0]), len(feats))
        for extractor, feats, rois in calls
    ]
    counts = [
        (each[:, None] == torch.arange(len(feats), device=each.device)).sum(dim=0)
        for each, (_, feats, _) in zip(levels, calls, strict=True)
    ]
    numbers = torch.cat(counts).tolist()  # the wait
    found = []
    for each, count in zip(levels, counts, strict=True):
        found.append((each, numbers[: len(count)]))
        numbers = numbers[len(count) :]
    return found


class DeviceFCNMaskHead(FCNMaskHead):
    """mmdet's mask head, whose targets are cut and stay on the device."""

    def get_targets(
        self,
        sampling_results: list,
        batch_gt_instances: list[InstanceData],
        rcnn_train_cfg: ConfigDict,
    ) -> Tensor:
        """Masks (n, h, w) of the positive boxes of all images, 0 or 1.

        Args:
            sampling_results: of each image.
            batch_gt_instances: of each image, with ``masks``; polygons are cut by mmdet.
            rcnn_train_cfg: with ``mask_size``.
        """
        masks = [instances.masks for instances in batch_gt_instances]
        soft = rcnn_train_cfg.get('soft_mask_target', False)
        if soft or not masks or not all(type(mask) is BitmapMasks for mask in masks):
            return super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        size = _pair(rcnn_train_cfg.mask_size)
        return torch.cat([
            _cut(found.pos_priors, found.pos_assigned_gt_inds, mask, size)
            for found, mask in zip(sampling_results, masks, strict=True)
        ])  # fmt: skip


def _cut(boxes: Tensor, objects: Tensor, masks: BitmapMasks, size: tuple[int, int]) -> Tensor:
    """Masks (n, h, w) of objects (n,) in boxes (n, 4), resized to ``size``, 0 or 1."""
    if not len(boxes):
        return boxes.new_zeros(0, *size)
    x, y = boxes[:, 0::2].clamp(0, masks.width), boxes[:, 1::2].clamp(0, masks.height)
    order = torch.arange(len(boxes), device=boxes.device).to(boxes.dtype)
    regions = torch.stack([order, x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)
    whole = to_device(torch.from_numpy(masks.masks), boxes.device)
    whole = whole.index_select(0, objects).to(boxes.dtype)[:, None]
    return (roi_align(whole, regions, size, 1.0, 0, 'avg', True)[:, 0] >= 0.5).float()
