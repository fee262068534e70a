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


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST


def _fits(size: list) -> bool:
    whole = all(type(side) is int and 0 < side <= SIDE for side in size)
    return whole and math.prod(size) <= PIXELS
