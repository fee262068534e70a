"""Checks the metadata of an exported file, which may come from anybody."""

import math
from typing import Any

from ..data.image_io import COLOR_TYPES

SIDE, PIXELS = 2**15, 2**26
"""Most of a size in the metadata: of a side, and height times width (0.8 GB as float32)."""
LONGEST, MOST = 500, 100_000
"""Characters of a name, and names."""


def require_sane(notes: dict[str, Any]) -> None:
    """Checks names, and sizes that memory is allocated by.

    Raises:
        ValueError: one is not such as ``moganet-dense export`` writes.
    """
    names = notes['classes']
    if not (isinstance(names, list) and len(names) <= MOST and all(map(_is_name, names))):
        raise ValueError(f'classes: expected a list of up to {MOST} names of {LONGEST} characters')
    if not names and notes['task'] != 'backbone':
        raise ValueError('classes: expected names, found none')
    if notes['task'] == 'segmentation' and not _is_palette(notes['palette'], len(names)):
        raise ValueError('palette: expected three numbers from 0 to 255 for each class')
    if notes['task'] == 'pose' and not _are_links(notes['skeleton'], len(names)):
        raise ValueError('skeleton: expected pairs of keypoints')
    if notes.get('color_type', 'color') not in COLOR_TYPES:
        raise ValueError(f'color_type: expected one of {list(COLOR_TYPES)}')
    resize, crop = notes['resize'] or {}, notes['crop'] or {}
    for what, size in (
        ('resize.scale', resize.get('scale')), ('resize.pad_to', resize.get('pad_to')),
        ('resize.middle', resize.get('middle')), ('crop.size', crop.get('size')),
        ('shape', notes['shape']),
    ):  # fmt: skip
        if size is not None and not (isinstance(size, list) and len(size) == 2 and _fits(size)):
            raise ValueError(f'{what}: expected two sizes in pixels')
    for what, number in (
        ('resize.short', resize.get('short')), ('resize.multiple', resize.get('multiple')),
        ('pad.divisor', notes['pad']['divisor']),
    ):  # fmt: skip
        if number is not None and not _fits([number, number]):
            raise ValueError(f'{what}: expected a size in pixels')


def _is_palette(palette: Any, count: int) -> bool:
    rows = isinstance(palette, list) and len(palette) == count
    return rows and all(_are_numbers(row, 3, 256) for row in palette)


def _are_links(skeleton: Any, count: int) -> bool:
    return isinstance(skeleton, list) and all(_are_numbers(row, 2, count) for row in skeleton)


def _are_numbers(row: Any, length: int, end: int) -> bool:
    whole = isinstance(row, list) and len(row) == length
    return whole and all(type(number) is int and 0 <= number < end for number in row)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST


def _fits(size: list) -> bool:
    whole = all(type(side) is int and 0 < side <= SIDE for side in size)
    return whole and math.prod(size) <= PIXELS
