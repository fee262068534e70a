"""RoIAlign (https://arxiv.org/abs/1703.06870), by torchvision."""

from collections.abc import Iterator

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor
from torch.nn import functional as F

from .precision import kernel_dtype, no_autocast

MAX, AVG = 0, 1


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Mean or maximum of the samples in each of the bins of a region.

    Args:
        input: (B, C, H, W), any floating dtype; bfloat16 is computed in float32.
        rois: (K, 5), index in the batch and x1, y1, x2, y2 in the input image.
        output: (K, C, aligned_height, aligned_width), written.
        argmax_y: as ``output`` for the maximum, written: the number of the sample in its bin,
            for the backward. Not used for the mean.
        argmax_x: not used.
        aligned_height: bins of a region, vertically.
        aligned_width: bins of a region, horizontally.
        spatial_scale: of ``rois`` to pixels of ``input``.
        sampling_ratio: samples of a bin along each side; 0: as many as it has pixels.
        pool_mode: 0 maximum, 1 mean.
        aligned: shift by half a pixel, as in detectron2.
    """
    if not len(rois):
        return
    dtype = kernel_dtype(input.dtype)
    features, regions = input.to(dtype), rois.to(dtype)
    size = aligned_height, aligned_width
    with no_autocast(input):
        if pool_mode == AVG:
            output.copy_(_sample(features, regions, spatial_scale, size, sampling_ratio, aligned))
            return
        for rows, grid in _by_grid(regions, spatial_scale, size, sampling_ratio, aligned):
            fine = size[0] * grid[0], size[1] * grid[1]
            samples = _sample(features, regions[rows], spatial_scale, fine, 1, aligned)
            bins = _bins(samples, grid)
            best = bins.max(dim=-1)
            output[rows] = best.values.to(output.dtype)
            argmax_y[rows] = best.indices.to(argmax_y.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient by the input.

    Args:
        grad_output: (K, C, aligned_height, aligned_width).
        rois: as in the forward.
        argmax_y: as the forward left it.
        argmax_x: not used.
        grad_input: (B, C, H, W), written.
        aligned_height: as in the forward.
        aligned_width: as in the forward.
        spatial_scale: as in the forward.
        sampling_ratio: as in the forward.
        pool_mode: as in the forward.
        aligned: as in the forward.
    """
    if not len(rois):
        return
    dtype = kernel_dtype(grad_output.dtype)
    grad, regions = grad_output.to(dtype), rois.to(dtype)
    size, shape = (aligned_height, aligned_width), grad_input.shape
    with no_autocast(grad_output):
        if pool_mode == AVG:
            grad_input.copy_(
                _spread(grad, regions, spatial_scale, size, shape, sampling_ratio, aligned)
            )
            return
        for rows, grid in _by_grid(regions, spatial_scale, size, sampling_ratio, aligned):
            fine = size[0] * grid[0], size[1] * grid[1]
            best = argmax_y[rows].long()
            bins = F.one_hot(best, grid[0] * grid[1]).to(dtype) * grad[rows][..., None]
            grad_input += _spread(
                _unbins(bins, grid), regions[rows], spatial_scale, fine, shape, 1, aligned
            ).to(grad_input.dtype)


def _sample(
    features: Tensor,
    rois: Tensor,
    scale: float,
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    return torch.ops.torchvision.roi_align(features, rois, scale, *size, sampling_ratio, aligned)


def _spread(
    grad: Tensor,
    rois: Tensor,
    scale: float,
    size: tuple[int, int],
    shape: torch.Size,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    return torch.ops.torchvision._roi_align_backward(
        grad, rois, scale, *size, *shape, sampling_ratio, aligned
    )


def _by_grid(
    rois: Tensor, scale: float, size: tuple[int, int], sampling_ratio: int, aligned: bool
) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Indices of regions whose bins have the same grid of samples, and that grid.

    A bin of R samples a side is R·R bins of one sample: so the maximum comes from the same
    operator as the mean. With ``sampling_ratio`` 0 the grid depends on the region's size.
    """
    everything = torch.arange(len(rois), device=rois.device)
    if sampling_ratio > 0:
        yield everything, (sampling_ratio, sampling_ratio)
        return
    sides = (rois[:, [4, 3]] - rois[:, [2, 1]]) * scale  # height, width
    if not aligned:
        sides = sides.clamp(min=1)
    grids = (sides / sides.new_tensor(size)).ceil().long().clamp(min=1)
    for grid in grids.unique(dim=0).tolist():
        yield (grids == grids.new_tensor(grid)).all(dim=1).nonzero()[:, 0], tuple(grid)


def _bins(samples: Tensor, grid: tuple[int, int]) -> Tensor:
    """(K, C, H·gh, W·gw) to (K, C, H, W, gh·gw)."""
    k, c, h, w = samples.shape
    bins = samples.reshape(k, c, h // grid[0], grid[0], w // grid[1], grid[1])
    return bins.transpose(3, 4).flatten(4)


def _unbins(bins: Tensor, grid: tuple[int, int]) -> Tensor:
    """The inverse of :func:`_bins`."""
    k, c, h, w, _ = bins.shape
    return bins.reshape(k, c, h, w, *grid).transpose(3, 4).reshape(k, c, h * grid[0], w * grid[1])
