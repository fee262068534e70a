"""Frames of videos as images, and sheets of them."""

from collections.abc import Sequence

import numpy as np
import torch

GAP = 4
"""Pixels between the rows and columns of a sheet."""


def frame_image(frame: torch.Tensor, height: int) -> np.ndarray:
    """A frame (C, H, W) in [0, 1] as (h, w, 3), uint8, enlarged by a whole number.

    Values beyond [0, 1] are clipped. Of another number of channels than 1 and 3, as TaxiBJ's 2, the
    mean is shown.

    Args:
        frame: its colours are kept in their order.
        height: least ``h``.
    """
    if frame.shape[0] not in (1, 3):
        frame = frame.mean(0, keepdim=True)
    pixels = (frame.float().clamp(0, 1).cpu().numpy().transpose(1, 2, 0) * 255).round()
    times = -(-height // pixels.shape[0])
    image = pixels.astype(np.uint8).repeat(times, 0).repeat(times, 1)
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Images of one size, (h, w, 3), uint8, in rows on white."""
    height, width = rows[0][0].shape[:2]
    shape = (len(rows) * (height + GAP), max(map(len, rows)) * (width + GAP), 3)
    found = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            found[top : top + height, left : left + width] = image
    return found
