"""Pillow's bicubic resizing, bit for bit, where there is no Pillow: classifiers are tested with it.

OpenCV's bicubic looks at four pixels a side whatever the factor; Pillow's widens with it, which
is what keeps small details from turning into patterns (Pillow, src/libImaging/Resample.c).
"""

import numpy as np

REACH = 2.0
"""Pixels to either side of a bicubic filter, at factors of 1 and over."""
SHARPNESS = -0.5
"""Keys' a (IEEE Trans. ASSP 29(6), 1981, https://doi.org/10.1109/TASSP.1981.1163711)."""
ONE = 2**22
"""Pillow's weights are whole numbers; this is the one that stands for 1."""


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture at another size, as ``PIL.Image.resize`` with ``BICUBIC`` makes it.

    Args:
        picture: (H, W, C) uint8.
        width: in pixels, at least 1.
        height: likewise.

    Returns:
        (height, width, C) uint8.
    """
    columns = _resized(np.ascontiguousarray(picture.transpose(1, 0, 2)), width)
    return _resized(np.ascontiguousarray(columns.transpose(1, 0, 2)), height)


def _resized(lines: np.ndarray, target: int) -> np.ndarray:
    """(target, N, C) of lines (L, N, C) uint8, rounded."""
    first, weights = _filters(len(lines), target)
    total = np.full((target, *lines.shape[1:]), ONE // 2, np.int32)  # rounds, as below
    for tap, weight in enumerate(weights.T):
        place = np.minimum(first + tap, len(lines) - 1)  # beyond its end a filter weighs nothing
        total += lines[place] * weight[:, None, None]
    return (total // ONE).clip(0, 255).astype(np.uint8)


def _filters(length: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each target line: the first that it is made of, (target,), and the weights of that and
    those after it, (target, taps) int32, which sum up to about ONE."""
    factor = length / target
    widened = max(factor, 1.0)
    centre = (np.arange(target) + 0.5) * factor
    first, end = (
        np.clip(np.trunc(centre + reach * widened + 0.5), 0, length).astype(int)
        for reach in (-REACH, REACH)
    )
    place = first[:, None] + np.arange((end - first).max())
    x = (place + 0.5 - centre[:, None]) / widened
    weights = np.where(place < end[:, None], _kernel(np.abs(x)), 0.0)
    weights = weights / weights.sum(1, keepdims=True) * ONE
    return first, np.trunc(weights + np.copysign(0.5, weights)).astype(np.int32)


def _kernel(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution at distances x."""
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
