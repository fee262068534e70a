"""Draws results into pictures, with OpenCV and NumPy alone."""

import colorsys

import numpy as np


def colours(count: int) -> np.ndarray:
    """(count, 3) uint8, RGB: colours that differ from their neighbours', always the same."""
    golden = 0.618033988749895  # steps around the hues that come near none before
    rows = [colorsys.hsv_to_rgb((0.05 + k * golden) % 1, 0.75, 0.95) for k in range(count)]
    return np.array(rows).reshape(-1, 3).dot(255).round().astype(np.uint8)
