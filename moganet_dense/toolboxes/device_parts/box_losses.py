"""mmdet's losses, without asking the GPU whether there is something to sum."""

from typing import Any

import torch
from mmdet.models.losses import CrossEntropyLoss, GIoULoss, L1Loss, SmoothL1Loss
from mmdet.models.losses.smooth_l1_loss import l1_loss, smooth_l1_loss
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor
from torch.nn import Module


class _WithoutAsking(Module):
    """A loss of boxes that is zero where all weights are, without asking for them."""

    loss_weight: float
    reduction: str

    def computed(self, pred: Tensor, target: Tensor, weight: Tensor | None, **how: Any) -> Tensor:
        """mmdet's function; ``how`` is its reduction and divisor."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """The loss of predictions (n, 4).

        Args:
            pred: predictions.
            target: what they should be.
            weight: of each number.
            avg_factor: divisor of the sum.
            reduction_override: 'none', 'mean' or 'sum' in place of ``reduction``.
        """
        reduction = reduction_override or self.reduction
        if reduction == 'none':
            return super().forward(pred, target, weight, avg_factor, reduction_override)
        return self.loss_weight * self.computed(
            pred, target, weight, reduction=reduction, avg_factor=avg_factor
        )


class DeviceL1Loss(_WithoutAsking, L1Loss):
    """mmdet's L1 loss. If all weights are zero it is zero, without asking for it."""

    def computed(self, pred: Tensor, target: Tensor, weight: Tensor | None, **how: Any) -> Tensor:
        """mmdet's function; ``how`` is its reduction and divisor."""
        return l1_loss(pred, target, weight, **how)


class DeviceSmoothL1Loss(_WithoutAsking, SmoothL1Loss):
    """mmdet's smooth L1 loss. If all weights are zero it is zero, without asking for it."""

    def computed(self, pred: Tensor, target: Tensor, weight: Tensor | None, **how: Any) -> Tensor:
        """mmdet's function; ``how`` is its reduction and divisor."""
        return smooth_l1_loss(pred, target, weight, beta=self.beta, **how)


class DeviceGIoULoss(_WithoutAsking, GIoULoss):
    """mmdet's GIoU loss of boxes. If all weights are zero it is zero, without asking for it."""

    def computed(self, pred: Tensor, target: Tensor, weight: Tensor | None, **how: Any) -> Tensor:
        """1 - GIoU (https://arxiv.org/abs/1902.09630); ``how`` is its reduction and divisor."""
        if weight is not None and weight.dim() > 1:
            weight = weight.mean(-1)
        if pred.dtype == torch.float16:  # areas exceed its range
            loss = 1 - giou(pred.float(), target, self.eps).half()
        else:
            loss = 1 - giou(pred, target, self.eps)
        return weight_reduce_loss(loss, weight, how['reduction'], how['avg_factor'])


def giou(boxes: Tensor, others: Tensor, eps: float) -> Tensor:
    """GIoU (n,) of boxes (n, 4) and others, x1, y1, x2, y2, as mmdet's ``bbox_overlaps``.

    Args:
        boxes: first boxes.
        others: second boxes.
        eps: smallest area to divide by.
    """
    areas = _area(boxes) + _area(others)  # first, so that gradients are added in mmdet's order
    start, end = torch.max(boxes[:, :2], others[:, :2]), torch.min(boxes[:, 2:], others[:, 2:])
    common = _product((end - start).clamp(min=0))
    union = areas - common
    start, end = torch.min(boxes[:, :2], others[:, :2]), torch.max(boxes[:, 2:], others[:, 2:])
    least = union.new_full((1,), eps)
    union = torch.max(union, least)
    overlap = common / union
    around = torch.max(_product((end - start).clamp(min=0)), least)
    return overlap - (around - union) / around


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _product(sides: Tensor) -> Tensor:
    return sides[:, 0] * sides[:, 1]


class DeviceCrossEntropyLoss(CrossEntropyLoss):
    """mmdet's cross entropy; with a sigmoid, labels become one-hot without asking for indices."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
        **options: Any,
    ) -> Tensor:
        """The loss of scores (n, k).

        Args:
            cls_score: scores before softmax or sigmoid.
            label: classes, (n,); of a sigmoid, no class below 0 or from k.
            weight: of each row.
            avg_factor: divisor of the sum.
            reduction_override: 'none', 'mean' or 'sum' in place of ``reduction``.
            ignore_index: class that is ignored.
            options: as in mmdet.
        """
        plain = ignore_index is None and self.ignore_index is None and avg_factor is not None
        if plain and self.use_sigmoid and label.ndim < cls_score.ndim:
            weight = _of_columns(label, weight, cls_score.shape[-1])
            classes = torch.arange(cls_score.shape[-1], device=label.device)
            label = (label[:, None] == classes).to(label.dtype)
        return super().forward(
            cls_score, label, weight, avg_factor, reduction_override, ignore_index, **options
        )


def _of_columns(label: Tensor, weight: Tensor | None, count: int) -> Tensor:
    """Weights (n, count) of rows, 0 for classes below 0."""
    valid = (label >= 0).view(-1, 1).float()
    rows = valid if weight is None else weight.view(-1, 1) * valid
    return rows.expand(-1, count)
