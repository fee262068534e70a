"""RoIPool (Fast R-CNN, https://arxiv.org/abs/1504.08083) with mmcv's bins.

torchvision's operator of the same name rounds the region to whole pixels first, mmcv's does not.
"""

import torch
from torch import Tensor

from .precision import working_dtype


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Maximum of each bin of a region; 0 where a bin lies outside the input.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), index in the batch and x1, y1, x2, y2 in the input image, both ends included.
        output: (K, C, pooled_height, pooled_width), written.
        argmax: as ``output``, int32, written: ``y * W + x`` of the maximum, -1 for an empty bin.
        pooled_height: bins of a region, vertically.
        pooled_width: bins of a region, horizontally.
        spatial_scale: of ``rois`` to pixels of ``input``.
    """
    height, width = input.shape[2:]
    regions = rois.to(working_dtype(rois.dtype))
    low, high = regions[:, 1:3] * spatial_scale, (regions[:, 3:5] + 1) * spatial_scale
    columns = _edges(low[:, 0], high[:, 0], pooled_width, width)
    rows = _edges(low[:, 1], high[:, 1], pooled_height, height)
    valid = (high > low).all(dim=1).tolist()
    for k, image in enumerate(regions[:, 0].long().tolist()):
        if not valid[k]:
            output[k], argmax[k] = 0, -1
            continue
        features = input[image]
        # first along the row, then along the column: the first of equal maxima, row by row
        values, x = _maxima(features, *(edges[k] for edges in columns))  # (C, H, pw)
        values, y = _maxima(values.transpose(1, 2), *(edges[k] for edges in rows))  # (C, pw, ph)
        values, y = values.transpose(1, 2), y.transpose(1, 2)
        place = y * width + x.gather(1, y.clamp(min=0))
        empty = torch.isneginf(values)
        output[k] = values.masked_fill(empty, 0)
        argmax[k] = place.masked_fill(empty, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Adds each bin's gradient at its maximum.

    Args:
        grad_output: (K, C, pooled_height, pooled_width).
        rois: (K, 5).
        argmax: as the forward left it.
        grad_input: (B, C, H, W), added to.
        pooled_height: as in the forward.
        pooled_width: as in the forward.
        spatial_scale: as in the forward.
    """
    channels, height, width = grad_input.shape[1:]
    image = rois[:, 0].long()[:, None, None, None]
    channel = torch.arange(channels, device=argmax.device)[:, None, None]
    place = (image * channels + channel) * height * width + argmax.long()
    found = argmax >= 0
    grad_input.view(-1).index_add_(0, place[found], grad_output[found].to(grad_input.dtype))


def _edges(low: Tensor, high: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """First pixel of each bin and the one after its last, (K, bins) each."""
    side = ((high - low) / bins)[:, None]
    number = torch.arange(bins, device=low.device, dtype=low.dtype)
    first = (number * side + low[:, None]).floor()
    end = ((number + 1) * side + low[:, None]).ceil()
    return first.long().clamp(0, size), end.long().clamp(0, size)


def _maxima(values: Tensor, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum of ``values[..., first[i]:end[i]]`` for each bin, and where it is.

    Args:
        values: (..., L).
        first: (bins,).
        end: (bins,).

    Returns:
        maxima (..., bins), -inf for an empty bin, and indices into the last axis.
    """
    longest = max(int((end - first).max()), 1)
    index = first[:, None] + torch.arange(longest, device=values.device)
    outside = index >= end[:, None]
    picked = values[..., index.clamp(max=values.shape[-1] - 1)]
    best = picked.masked_fill(outside, float('-inf')).max(dim=-1)
    return best.values, first.clamp(max=values.shape[-1] - 1) + best.indices
