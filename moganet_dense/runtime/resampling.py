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


def resize(
    picture: np.ndarray, width: int, height: int, window: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """A picture at another size, as ``PIL.Image.resize`` with ``BICUBIC`` makes it.

    Args:
        picture: (H, W, C) uint8.
        width: in pixels, at least 1.
        height: likewise.
        window: the part that is wanted of the result, left, top, right, bottom; None: all.

    Returns:
        (bottom - top, right - left, C) uint8.
    """
    left, top, right, bottom = window or (0, 0, width, height)
    passes = [(1, width, left, right), (0, height, top, bottom)]
    if len(picture) > 100 * picture.shape[1] and height < len(picture):
        passes.reverse()  # as Pillow does with what is that tall
    for axis, *target in passes:
        lines = np.ascontiguousarray(picture.swapaxes(0, axis))
        picture = _resized(lines, *target).swapaxes(0, axis)
    return np.ascontiguousarray(picture)


def _resized(lines: np.ndarray, target: int, begin: int, end: int) -> np.ndarray:
    """Lines ``begin`` to ``end`` of ``target`` that (L, N, C) uint8 become, rounded."""
    first, weights = _filters(len(lines), target, begin, end)
    total = np.full((end - begin, *lines.shape[1:]), ONE // 2, np.int32)  # rounds, as below
    for tap, weight in enumerate(weights.T):
        place = np.minimum(first + tap, len(lines) - 1)  # beyond its end a filter weighs nothing
        total += lines[place] * weight[:, None, None]
    return (total // ONE).clip(0, 255).astype(np.uint8)


def _filters(length: int, target: int, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each wanted line: the first that it is made of, (end - begin,), and the weights of that
    and those after it, (end - begin, taps) int32, which sum up to about ONE."""
    factor = length / target
    widened = max(factor, 1.0)
    centre = (np.arange(begin, end) + 0.5) * factor
    first, last = (
        np.clip(np.trunc(centre + reach * widened + 0.5), 0, length).astype(int)
        for reach in (-REACH, REACH)
    )
    place = first[:, None] + np.arange((last - first).max())
    x = (place + 0.5 - centre[:, None]) / widened
    weights = np.where(place < last[:, None], _kernel(np.abs(x)), 0.0)
    weights = weights / weights.sum(1, keepdims=True) * ONE
    return first, np.trunc(weights + np.copysign(0.5, weights)).astype(np.int32)


def _kernel(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution at distances x."""
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
