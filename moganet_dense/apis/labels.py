"""The class of every pixel of a large picture, where the scores of all classes would not fit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

AT_ONCE = 8
"""Classes that are enlarged together: 150 of 12 million pixels take 7 GB, 8 take 0.4."""


def label_pixels(
    logits: torch.Tensor, size: Sequence[int], align_corners: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The class of the highest logit, after bilinear interpolation to another size.

    Args:
        logits: (B, C, h, w).
        size: height and width of the picture.
        align_corners: as of :func:`torch.nn.functional.interpolate`.

    Returns:
        labels (B, height, width) int64, of equals the first; and the highest logits, likewise.
    """
    labels, highest = None, None
    for first, part in _enlarged(logits, size, align_corners):
        value, index = part.max(1)
        if labels is None:
            labels, highest = index, value
        else:
            labels = torch.where(value > highest, index + first, labels)
            highest = torch.maximum(value, highest)
    return labels, highest


def certainty(
    logits: torch.Tensor, size: Sequence[int], align_corners: bool, highest: torch.Tensor
) -> torch.Tensor:
    """The probability of each pixel's class, (B, height, width), by the softmax of all.

    Args:
        logits: as of :func:`label_pixels`.
        size: likewise.
        align_corners: likewise.
        highest: what that returned.
    """
    total = torch.zeros_like(highest)
    for _, part in _enlarged(logits, size, align_corners):
        total += (part - highest.unsqueeze(1)).exp_().sum(1)
    return 1 / total


def _enlarged(logits: torch.Tensor, size: Sequence[int], align_corners: bool):
    for first in range(0, logits.shape[1], AT_ONCE):
        part = logits[:, first : first + AT_ONCE]
        yield first, F.interpolate(part, size, mode='bilinear', align_corners=align_corners)
