"""The class of every pixel of a large image, without the scores of all classes in memory.

The functions are compiled by TorchScript, so that their loops stay loops in an ONNX file. If they
were unrolled, onnxruntime would resize all classes first.
"""

import torch
import torch.nn.functional as F

AT_ONCE = 8
"""Classes resized together: for 12 million pixels 150 classes take 7 GB, 8 take 0.4 GB."""


def label_pixels(
    logits: torch.Tensor, height: int, width: int, align_corners: bool, at_once: int = AT_ONCE
) -> tuple[torch.Tensor, torch.Tensor]:
    """The class of the highest logit, after bilinear interpolation to another size.

    Args:
        logits: (B, C, h, w).
        height: of the image.
        width: of the image.
        align_corners: as of :func:`torch.nn.functional.interpolate`.
        at_once: classes resized together.

    Returns:
        labels (B, height, width) int64, the first of equal ones; and the highest logits, same
        shape.
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
    """The labels of :func:`label_pixels` for a size (2,) that is dynamic in a trace."""
    return label_pixels(logits, int(size[0]), int(size[1]), align_corners)[0]


def certainty(
    logits: torch.Tensor, highest: torch.Tensor, align_corners: bool, at_once: int = AT_ONCE
) -> torch.Tensor:
    """The probability of each pixel's class, (B, height, width), by the softmax of all.

    Args:
        logits: as of :func:`label_pixels`.
        highest: returned by :func:`label_pixels`.
        align_corners: as there.
        at_once: as there.
    """
    total, size = torch.zeros_like(highest), highest.shape[1:]
    for first in range(0, logits.shape[1], at_once):
        part = logits[:, first : first + at_once]
        part = F.interpolate(part, size, mode='bilinear', align_corners=align_corners)
        total += (part - highest.unsqueeze(1)).exp_().sum(1)
    return 1 / total


def share(
    sums: torch.Tensor, highest: torch.Tensor, align_corners: bool, at_once: int = AT_ONCE
) -> torch.Tensor:
    """The probability of each pixel's class, (B, height, width), where a model adds up queries.

    Each query of Mask2Former adds the probability of a class times that of its mask (section 3.1 of
    https://arxiv.org/abs/2107.06278), so that the sums of a pixel are probabilities, unless several
    queries claim it: then their sum is over 1, and the share counts.

    Args:
        sums: (B, C, h, w), not negative.
        highest: what :func:`label_pixels` returned.
        align_corners: as there.
        at_once: as there.
    """
    total, size = torch.zeros_like(highest), highest.shape[1:]
    for first in range(0, sums.shape[1], at_once):
        part = sums[:, first : first + at_once]
        part = F.interpolate(part, size, mode='bilinear', align_corners=align_corners)
        total += part.sum(1)
    return highest / total.clamp(min=1)
