"""Masks of objects, from probabilities in their boxes to the pixels of the image."""

from collections.abc import Iterator

import numpy as np

from ..results.box_masks import Part


def paste(
    probabilities: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> np.ndarray:
    """Masks (N, height, width) bool: where the interpolated probability reaches the threshold.

    Interpolates between the centres of the m x m cells of a box, with zeros outside, as mmdet's
    FCNMaskHead does.

    Args:
        probabilities: (N, m, m).
        boxes: (N, 4), x1 y1 x2 y2 in pixels of the image.
        size: height and width of the image.
        threshold: minimum probability.
    """
    masks = np.zeros((len(boxes), *size), bool)
    parts = pasted_parts(probabilities, boxes, size, threshold)
    for mask, (left, top, part) in zip(masks, parts, strict=True):
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return masks


def pasted_parts(
    probabilities: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> Iterator[Part]:
    """The masks of :func:`paste`, each only where its box is."""
    height, width = size
    for grid, (x1, y1, x2, y2) in zip(probabilities, boxes, strict=True):
        top, bottom = _span(y1, y2, height)
        left, right = _span(x1, x2, width)
        down = _weights(np.arange(top, bottom), y1, y2, grid.shape[0])
        across = _weights(np.arange(left, right), x1, x2, grid.shape[1])
        yield Part(left, top, down @ grid @ across.T >= threshold)


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    """The range of pixels that a box can cover."""
    first = max(0, int(np.floor(start)) - 1)
    return first, max(first, min(length, int(np.ceil(end)) + 1))


def _weights(pixels: np.ndarray, start: float, end: float, places: int) -> np.ndarray:
    """(pixels, places): linear interpolation from the cells of a side to its pixels."""
    extent = max(np.float32(end) - np.float32(start), np.float32(1e-6))
    at = (pixels.astype(np.float32) + 0.5 - start) / extent * places - 0.5
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(places))).astype(np.float32)
