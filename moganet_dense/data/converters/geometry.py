"""Shapes of annotation tools as boxes, outlines and run lengths; all in pixels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .dataset import Box

CORNERS = 64
"""Corners of the polygon that approximates an ellipse, within 0.2 % of its radius."""


def rotated(box: Box, degrees: float, about: tuple[float, float] | None = None) -> list[float]:
    """Outline of a box turned clockwise, as seen with y downwards.

    Args:
        box: before turning.
        degrees: the angle.
        about: the point that stays; None: the middle of the box.
    """
    x, y, w, h = box
    cx, cy = about or (x + w / 2, y + h / 2)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    outline: list[float] = []
    for px, py in ((x, y), (x + w, y), (x + w, y + h), (x, y + h)):
        dx, dy = px - cx, py - cy
        outline += [cx + dx * cos - dy * sin, cy + dx * sin + dy * cos]
    return outline


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """Outline of an ellipse, turned clockwise about its middle."""
    angles = np.arange(CORNERS) * (2 * math.pi / CORNERS)
    dx, dy = rx * np.cos(angles), ry * np.sin(angles)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = np.stack([cx + dx * cos - dy * sin, cy + dx * sin + dy * cos], axis=1)
    return points.ravel().tolist()


def hull(outlines: Sequence[Sequence[float]]) -> Box:
    """The axis-aligned box around outlines."""
    xs = [x for outline in outlines for x in outline[0::2]]
    ys = [y for outline in outlines for y in outline[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def polygon_area(outline: Sequence[float]) -> float:
    """Area of an outline by the shoelace formula."""
    x, y = np.asarray(outline[0::2], float), np.asarray(outline[1::2], float)
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box within an image; None if there is none."""
    x1, y1 = max(0.0, box[0]), max(0.0, box[1])
    x2, y2 = min(float(size[0]), box[0] + box[2]), min(float(size[1]), box[1] + box[3])
    return (x1, y1, x2 - x1, y2 - y1) if x2 > x1 and y2 > y1 else None


def clipped_outline(outline: Sequence[float], size: tuple[int, int]) -> list[float]:
    """An outline with its corners clipped to the image."""
    return [min(max(0.0, value), float(size[i % 2])) for i, value in enumerate(map(float, outline))]


def runs_of(mask: np.ndarray) -> dict[str, Any]:
    """A mask, (H, W) bool, as COCO's uncompressed run lengths: down the columns, background
    first."""
    flat = np.concatenate([[False], np.asarray(mask, bool).ravel(order='F')])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return dict(size=list(mask.shape), counts=counts.tolist())


def mask_of(runs: dict[str, Any]) -> np.ndarray:
    """The mask, (H, W) bool, of uncompressed run lengths; the inverse of :func:`runs_of`."""
    height, width = runs['size']
    counts = np.asarray(runs['counts'])
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def box_of_mask(mask: np.ndarray) -> Box | None:
    """The box around the pixels of a mask; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)
