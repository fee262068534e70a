"""Checks the metadata of an exported file, which may come from anybody."""

import math
from collections.abc import Sequence
from typing import Any

from ..data.image_io import COLOR_TYPES

SIDE, PIXELS = 2**15, 2**26
"""Most of a size in the metadata: of a side, and height times width (0.8 GB as float32)."""
LONGEST, MOST = 500, 100_000
"""Characters of a name, and names."""
SIZES = {
    'segmentation': ('size',),
    **dict.fromkeys(('detection', 'instance segmentation'), ('sizes',)),
}
"""Inputs beside the images, by task."""
TASKS = ('detection', 'instance segmentation', 'segmentation', 'pose', 'classification', 'backbone')


def require_sane(notes: dict[str, Any]) -> None:
    """Checks the task, names, values of the preprocessing, and sizes memory is allocated by.

    Raises:
        ValueError: one is not such as ``moganet-dense export`` writes.
    """
    if notes['task'] not in TASKS:
        raise ValueError(f'task: expected one of {list(TASKS)}')
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
    cut = crop.get('size') or resize.get('middle')
    if cut and notes['shape'] and notes['shape'] != cut[::-1]:
        raise ValueError('shape: expected the height and width of the crops')
    _require_values(notes, resize, crop)


def _require_values(notes: dict[str, Any], resize: dict, crop: dict) -> None:
    """Checks what the preprocessing and the masks compute with."""
    mean, std = notes['mean'], notes['std']
    if not (_are_finite(mean) and _are_finite(std) and len(mean) == len(std) and min(std) > 0):
        raise ValueError('mean and std: expected a number for each channel, std above 0')
    if notes['order'] not in ('rgb', 'bgr'):
        raise ValueError('order: expected rgb or bgr')
    if not _are_finite([notes['pad']['value'], *resize.get('pad_with', [0])]):
        raise ValueError('values of the padding: expected numbers')
    if notes['task'] == 'pose' or crop:
        if not (crop.get('size') and _are_finite([crop['padding']]) and crop['padding'] > 0):
            raise ValueError('crop: expected size and padding')
        _ = crop['udp']
    elif not (resize.get('middle') if resize.get('short') else resize.get('scale')):
        raise ValueError('resize: expected scale, or short and middle')
    elif resize.get('scale'):
        _ = resize['keep_ratio']
    if notes['task'] == 'instance segmentation' and not _are_finite([notes['mask_threshold']]):
        raise ValueError('mask_threshold: expected a number')


def _are_finite(numbers: Any) -> bool:
    """Whether it is a list of numbers, and not empty."""
    whole = isinstance(numbers, list) and len(numbers) > 0
    return whole and all(type(n) in (int, float) and abs(n) < 1e30 for n in numbers)


def fixed_size(notes: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of all images that the network gets; None: they vary."""
    if notes['shape']:
        return tuple(notes['shape'])
    size = (notes['crop'] or {}).get('size') or (notes['resize'] or {}).get('middle')
    return (size[1], size[0]) if size else None


def require_inputs(inputs: Sequence[Any], notes: dict[str, Any]) -> None:
    """Checks the inputs of a network, as onnxruntime lists them, against its metadata.

    Raises:
        ValueError: it takes others than ``moganet-dense export`` writes for the task.
    """
    task, channels = notes['task'], len(notes['mean'])
    wanted = ['images', *SIZES.get(task, ())]
    found = {each.name: each for each in inputs}
    if sorted(found) != sorted(wanted):
        raise ValueError(f'expected a network with inputs {wanted}, found {list(found)}')
    kind, shape = found['images'].type, found['images'].shape
    fits = len(shape) == 4 and all(
        size == wanted or not isinstance(size, int)
        for size, wanted in zip(shape, (1, channels), strict=False)
    )
    if kind != 'tensor(float)' or not fits:
        raise ValueError(
            f'expected images as tensor(float) of shape (batch, {channels}, height, width), found '
            f'{kind} {shape}'
        )
    size = fixed_size(notes)
    for found_side, side in zip(shape[2:], size or (None, None), strict=True):
        if isinstance(found_side, int) and found_side != side:
            stated = f'{size[0]} x {size[1]}' if size else 'any size'
            raise ValueError(
                f'expected images of {stated} (height x width), as the metadata has it, found a '
                f'network of {shape[2]} x {shape[3]}'
            )


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
