"""mmdet's assignment of ground truth to boxes by overlap, without a wait for every object."""

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, BboxOverlaps2D, MaxIoUAssigner
from torch import Tensor

EPS = 1e-6
"""Smallest area that mmdet divides by."""


class DeviceBboxOverlaps2D(BboxOverlaps2D):
    """mmdet's overlaps of boxes, without its copy of a constant to the GPU."""

    def __call__(
        self, bboxes1: Tensor, bboxes2: Tensor, mode: str = 'iou', is_aligned: bool = False
    ) -> Tensor:
        """Overlaps (m, n) of boxes (m, 4) and (n, 4), x1, y1, x2, y2; other cases as in mmdet.

        Args:
            bboxes1: first boxes.
            bboxes2: second boxes.
            mode: 'iou', or 'iof': over the area of the first box.
            is_aligned: overlaps of pairs, by mmdet.
        """
        plain = all(type(b) is Tensor and b.ndim == 2 and b.shape[1] == 4 and len(b) > 0
                    for b in (bboxes1, bboxes2))  # fmt: skip
        if not plain or mode not in ('iou', 'iof') or is_aligned or self.dtype is not None:
            return super().__call__(bboxes1, bboxes2, mode, is_aligned)
        first, second = bboxes1[:, None], bboxes2[None]
        sides = torch.min(first[..., 2:], second[..., 2:]) - torch.max(
            first[..., :2], second[..., :2]
        )
        sides = sides.clamp(min=0)
        common = sides[..., 0] * sides[..., 1]
        area = _area(first)
        if mode == 'iou':
            area = area + _area(second) - common
        return common / area.clamp(min=EPS)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class DeviceMaxIoUAssigner(MaxIoUAssigner):
    """mmdet's assigner, for all objects at once.

    mmdet asks the GPU for every object whether its largest overlap is large enough, and for the
    number of boxes before every masked write. The assignment is bitwise equal.

    Args:
        thresholds: as of mmdet's assigner, in its order.
        iou_calculator: config of the overlaps; None: :class:`DeviceBboxOverlaps2D`.
        options: as of mmdet's assigner.
    """

    def __init__(
        self, *thresholds: Any, iou_calculator: dict | None = None, **options: Any
    ) -> None:
        iou_calculator = iou_calculator or dict(type=DeviceBboxOverlaps2D)
        super().__init__(*thresholds, iou_calculator=iou_calculator, **options)

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assigns an object, the background (0) or nothing (-1) to each box.

        Args:
            overlaps: of k objects and n boxes, (k, n).
            gt_labels: classes of the objects, (k,).
        """
        if not overlaps.numel():
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        most, nearest = overlaps.max(dim=0)
        assigned = torch.full_like(nearest, -1)
        bounds = self.neg_iou_thr
        if isinstance(bounds, float):
            bounds = (0, bounds)
        if isinstance(bounds, tuple):
            low, high = bounds
            assigned.masked_fill_((most >= low) & (most < high), 0)
        assigned = torch.where(most >= self.pos_iou_thr, nearest + 1, assigned)
        if self.match_low_quality:
            claimed = self._claimed(overlaps)
            assigned = torch.where(claimed > 0, claimed, assigned)
        labels = torch.cat([gt_labels.new_full((1,), -1), gt_labels])
        labels = labels.index_select(0, assigned.clamp(min=0))
        return AssignResult(len(overlaps), assigned, most, labels)

    def _claimed(self, overlaps: Tensor) -> Tensor:
        """Number from 1, (n,), of the last object whose best box this is; 0 if there is none."""
        if self.gt_max_assign_all:
            most = overlaps.amax(dim=1, keepdim=True)
            claims = overlaps == most
        else:
            most, best = overlaps.max(dim=1, keepdim=True)
            claims = torch.arange(overlaps.shape[1], device=best.device) == best
        claims &= most >= self.min_pos_iou
        small = torch.int16 if len(overlaps) < 2**15 else torch.int32
        numbers = torch.arange(1, len(overlaps) + 1, dtype=small, device=overlaps.device)
        return (claims * numbers[:, None]).amax(dim=0).long()
