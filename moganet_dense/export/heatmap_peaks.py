"""Peaks of heatmaps moved to fractions of pixels, as mmpose's codecs do it, in operations of ONNX.

All take heatmaps (B, K, h, w) and peaks (B, K, 2) int64, x y, or -1 -1 where no value is positive,
and return offsets (B, K, 2) in pixels of the heatmap.
"""

import cv2
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

EPSILON = float(np.finfo(np.float32).eps)


class Blur(nn.Module):
    """A Gaussian blur of each heatmap, with its maximum kept: mmpose's ``gaussian_blur``.

    Args:
        size: of the kernel, odd; the deviation is that which OpenCV derives from it.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        line = cv2.getGaussianKernel(size, 0, cv2.CV_32F)[:, 0]
        self.register_buffer('line', torch.from_numpy(line))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        flat, margin = maps.flatten(0, 1).unsqueeze(1), len(self.line) // 2
        blurred = F.conv2d(flat, self.line.view(1, 1, 1, -1), padding=(0, margin))
        blurred = F.conv2d(blurred, self.line.view(1, 1, -1, 1), padding=(margin, 0))
        blurred = blurred.view_as(maps)
        return blurred * (highest(maps) / highest(blurred))


def highest(maps: torch.Tensor) -> torch.Tensor:
    """Maximum of each heatmap, (B, K, 1, 1)."""
    return maps.amax((2, 3), keepdim=True)


def quarter_offsets(maps: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
    """A quarter of a pixel towards the higher neighbour in x and in y (MSRAHeatmap)."""
    height, width = maps.shape[2:]
    x, y = peaks.unbind(2)
    at = Neighbours(maps, peaks)
    # as in mmpose, the first two columns and the first row are unchanged, and so on
    to_x = (at(1, 0) - at(-1, 0)).sign() * ((x > 1) & (x < width - 1) & (y > 0))
    to_y = (at(0, 1) - at(0, -1)).sign() * ((y > 1) & (y < height - 1) & (x > 0))
    return torch.stack([to_x, to_y], 2) * 0.25


def dark_offsets(maps: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
    """To the maximum of the Taylor series of the logarithm (equation 7 of
    https://arxiv.org/abs/1910.06278), by differences over two pixels.

    Args:
        maps: blurred.
        peaks: see above; those near the border are not moved.
    """
    height, width = maps.shape[2:]
    x, y = peaks.unbind(2)
    at = Neighbours(maps.clamp(min=1e-10).log(), peaks)
    here = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * here + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * here + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return newton_step(dx, dy, dxx, dyy, dxy, inside)


def udp_offsets(maps: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
    """As :func:`dark_offsets`, by differences of neighbours, also at the border (mmpose's
    UDPHeatmap, https://arxiv.org/abs/1911.07524)."""
    padded = F.pad(maps.clamp(1e-3, 50.0).log(), (1, 1, 1, 1), mode='replicate')
    at = Neighbours(padded, peaks + 1)
    here = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = at(1, 0) - 2 * here + at(-1, 0) + EPSILON
    dyy = at(0, 1) - 2 * here + at(0, -1) + EPSILON
    both = at(1, 1) + at(-1, -1) + 2 * here
    dxy = 0.5 * (both - at(1, 0) - at(0, 1) - at(-1, 0) - at(0, -1))
    return newton_step(dx, dy, dxx, dyy, dxy, torch.ones_like(here, dtype=torch.bool))


def newton_step(
    dx: torch.Tensor,
    dy: torch.Tensor,
    dxx: torch.Tensor,
    dyy: torch.Tensor,
    dxy: torch.Tensor,
    moved: torch.Tensor,
) -> torch.Tensor:
    """Minus the inverse of the Hessian times the gradient; 0 where it has none or none is moved."""
    determinant = dxx * dyy - dxy * dxy
    moved = moved & (determinant != 0)
    determinant = torch.where(moved, determinant, torch.ones_like(determinant))
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], 2) / determinant.unsqueeze(2)
    return torch.where(moved.unsqueeze(2), step, torch.zeros_like(step))


class Neighbours:
    """Values of heatmaps next to their peaks: ``at(1, 0)`` is (B, K), one column to the right."""

    def __init__(self, maps: torch.Tensor, peaks: torch.Tensor) -> None:
        self.flat, self.width = maps.flatten(2), maps.shape[3]
        self.place = peaks[..., 0] + peaks[..., 1] * self.width
        self.last = maps.shape[2] * maps.shape[3] - 1

    def __call__(self, right: int, down: int) -> torch.Tensor:
        place = (self.place + (right + down * self.width)).clamp(0, self.last)
        return self.flat.gather(2, place.unsqueeze(2)).squeeze(2)
