"""The class of every pixel of a large image, where the scores of all classes would not fit.

Functions that TorchScript compiles: in an ONNX file their loops have to stay loops. Unrolled,
onnxruntime enlarges all classes first.
"""

import torch
import torch.nn.functional as F

AT_ONCE = 8
"""Classes that are enlarged together: 150 of 12 million pixels take 7 GB, 8 take 0.4."""


def label_pixels(
    logits: torch.Tensor, height: int, width: int, align_corners: bool, at_once: int = AT_ONCE
) -> tuple[torch.Tensor, torch.Tensor]:
    """The class of the highest logit, after bilinear interpolation to another size.

    Args:
        logits: (B, C, h, w).
        height: of the image.
        width: of the image.
        align_corners: as of :func:`torch.nn.functional.interpolate`.
        at_once: classes that are enlarged together.

    Returns:
        labels (B, height, width) int64, of equals the first; and the highest logits, likewise.
    """
    shape = [logits.shape[0], height, width]
    labels = torch.zeros(shape, dtype=torch.int64, device=logits.device)
    highest = torch.full(shape, float('-inf'), dtype=logits.dtype, device=logits.device)
    for first in range(0, logits.shape[1], at_once):
        part = logits[:, first : first + at_once]
        part = F.interpolate(part, [height, width], mode='bilinear', align_corners=align_corners)
        value, index = part.max(1)
        labels = torch.where(value > highest, index + first, labels)
        highest = torch.maximum(value, highest)
    return labels, highest


@torch.jit.script_if_tracing
def label_traced(logits: torch.Tensor, size: torch.Tensor, align_corners: bool) -> torch.Tensor:
    """The labels of :func:`label_pixels` for a size (2,) that stays free in a trace."""
    return label_pixels(logits, int(size[0]), int(size[1]), align_corners)[0]


def certainty(
    logits: torch.Tensor, highest: torch.Tensor, align_corners: bool, at_once: int = AT_ONCE
) -> torch.Tensor:
    """The probability of each pixel's class, (B, height, width), by the softmax of all.

    Args:
        logits: as of :func:`label_pixels`.
        highest: what that returned.
        align_corners: as there.
        at_once: as there.
    """
    total, size = torch.zeros_like(highest), highest.shape[1:]
    for first in range(0, logits.shape[1], at_once):
        part = logits[:, first : first + at_once]
        part = F.interpolate(part, size, mode='bilinear', align_corners=align_corners)
        total += (part - highest.unsqueeze(1)).exp_().sum(1)
    return 1 / total
