"""Every image and annotation of a file in COCO's format, one rule a function.

Errors are what the toolboxes would train on, drop or mix up without a word and cannot be meant.
Warnings are what they give a meaning: clipped, dropped, or left without an object.
"""

import math
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .report import Finding

SLACK = 1.0
"""Pixels by which boxes and joints may stand out: COCO's own do, from rounding."""


@dataclass(frozen=True)
class Kind:
    """What is read from annotations beside boxes.

    Attributes:
        masks: whether segmentations are.
        joints: how many joints a person has, or None.
    """

    masks: bool = False
    joints: int | None = None


def of_file(content: dict, file: str, kind: Kind) -> Iterator[Finding]:
    """All findings of a file.

    Args:
        content: of the file, from :func:`~.coco.read_coco`.
        file: its path, for the findings.
        kind: what is read from it; of the rest nothing is said.
    """
    images, rows = content['images'], content['annotations']
    yield from duplicates(images, 'images', file)
    yield from duplicates(content['categories'], 'categories', file)
    yield from duplicates(rows, 'annotations', file)
    yield from names(images, file)
    sizes = {image['id']: size_of(image) for image in images}
    for image in images:
        if sizes[image['id']] is None:
            found = f'{image.get("width")!r} x {image.get("height")!r}'
            rule = 'expected a width and height of whole, positive pixels of each image'
            yield Finding(rule, found, file, image['id'])
    for row in rows:
        if (key := row.get('image_id')) not in sizes:
            rule = "expected each image_id to be one of the file's images; it would be dropped"
            yield Finding(rule, f'image_id {key!r}', file, row.get('id'))
            continue
        size = sizes[key] or (math.inf, math.inf)
        for severity, rule, found in _of_row(row, size, kind):
            yield Finding(rule, found, file, row.get('id'), severity)
    used = {row.get('image_id') for row in rows}
    for image in images:
        if image['id'] not in used:
            rule = 'images without an annotation: detectors leave them out of training by default'
            yield Finding(rule, image['file_name'], file, image['id'], 'warning')


def duplicates(rows: Iterable[dict], what: str, file: str) -> Iterator[Finding]:
    """Ids that occur twice: the toolboxes keep the last and drop the others; or no id."""
    seen: set[Hashable] = set()
    for row in rows:
        key = row.get('id')
        if key is None:
            yield Finding(f'expected an id of each of the {what}', 'none', file)
        elif key in seen:
            yield Finding(f'expected each id of {what} once', 'again', file, key)
        seen.add(key)


def names(images: Iterable[dict], file: str) -> Iterator[Finding]:
    """File names that occur twice, or lead out of the data set's folder."""
    seen: set[str] = set()
    for image in images:
        name = image['file_name']
        if name in seen:
            yield Finding('the same file under two ids', name, file, image['id'], 'warning')
        seen.add(name)
        if os.path.isabs(name) or '..' in name.split('/'):
            rule = 'file names that lead out of the data folder: read from where they point'
            yield Finding(rule, name, file, image['id'], 'warning')


_Fault = tuple[str, str, str]


def _of_row(row: dict, size: tuple, kind: Kind) -> Iterator[_Fault]:
    if kind.joints is not None:
        if 'bbox' in row:
            yield from box(row['bbox'], size)
        if row.get('keypoints'):
            yield from keypoints(row['keypoints'], kind.joints, size, row.get('num_keypoints'))
        return
    yield from box(row.get('bbox'), size)
    if not _is_number(row.get('area')):
        yield 'error', "expected an 'area', a number, of each annotation", repr(row.get('area'))
    if kind.masks:
        yield from mask(row.get('segmentation'), size)


def box(found: Any, size: tuple) -> Iterator[_Fault]:
    """[x, y, width, height] in pixels: finite, positive, inside."""
    if not (isinstance(found, list) and len(found) == 4 and all(map(_is_number, found))):
        yield 'error', 'expected bbox=[x, y, width, height], four finite numbers', _short(found)
        return
    x, y, w, h = found
    if w < 0 or h < 0:
        yield 'error', 'expected boxes of a positive width and height', _short(found)
    elif w < 1 or h < 1:
        yield 'warning', 'boxes of less than a pixel: left out by detectors', _short(found)
    elif min(x, y) < -SLACK or x + w > size[0] + SLACK or y + h > size[1] + SLACK:
        outside = x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0
        what = 'boxes outside their image: left out' if outside else 'boxes that stand out'
        yield 'warning', what, f'{_short(found)} in {size[0]} x {size[1]}'


def keypoints(found: Any, joints: int, size: tuple, labelled: Any) -> Iterator[_Fault]:
    """x, y, visibility of each joint: finite; 0, 1 or 2; inside where labelled."""
    if not (isinstance(found, list) and len(found) == 3 * joints):
        yield 'error', f'expected keypoints of {3 * joints} numbers', _short(found)
        return
    if not all(map(_is_number, found)):
        yield 'error', 'expected finite numbers in keypoints', _short(found)
        return
    xs, ys, seen = found[0::3], found[1::3], found[2::3]
    if odd := set(seen) - {0, 1, 2}:
        yield 'error', 'expected the visibility of joints to be 0, 1 or 2', _short(sorted(odd))
    for x, y, v in zip(xs, ys, seen, strict=True):
        if v and not (-SLACK <= x <= size[0] + SLACK and -SLACK <= y <= size[1] + SLACK):
            yield 'warning', 'labelled joints outside their image', f'({x}, {y})'
    if labelled is not None and labelled != (count := sum(v > 0 for v in seen)):
        yield (
            'warning',
            'num_keypoints is not the number of labelled joints',
            (f'{_short(labelled)}, counted {count}'),
        )


def mask(found: Any, size: tuple) -> Iterator[_Fault]:
    """Polygons [[x, y, x, y, ...], ...], or run lengths {'size': [h, w], 'counts': ...}."""
    if isinstance(found, dict):
        yield from _runs(found, size)
        return
    if not isinstance(found, list) or not found:
        yield 'error', 'expected a segmentation of polygons or run lengths', _short(found)
        return
    for polygon in found:
        values = _numbers(polygon)
        if values is None or not np.isfinite(values).all():
            yield 'error', 'expected polygons of finite numbers', _short(polygon)
        elif len(values) % 2 or len(values) < 6:
            yield (
                'warning',
                'polygons of an odd number of values or fewer than three corners: left out',
                _short(polygon),
            )


def _runs(found: dict, size: tuple) -> Iterator[_Fault]:
    shape, counts = found.get('size'), found.get('counts')
    lengths = counts if isinstance(counts, list) else decode_runs(counts)
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)):
        yield 'error', 'expected run lengths to have size=[height, width]', _short(shape)
    elif lengths is None or not all(type(n) is int and n >= 0 for n in lengths):
        yield 'error', 'expected counts of run lengths, whole numbers or their text', _short(counts)
    elif sum(lengths) != shape[0] * shape[1]:
        yield (
            'error',
            'expected run lengths that sum to height * width',
            (f'{sum(lengths)} for {shape[0]} * {shape[1]}'),
        )
    elif tuple(reversed(shape)) != size and math.inf not in size:
        yield (
            'error',
            'expected run lengths of the size of their image',
            (f'{shape[1]} x {shape[0]} in {size[0]} x {size[1]}'),
        )


def decode_runs(text: Any) -> list[int] | None:
    """Run lengths from COCO's text for them; None if it is none.

    Six bits a character from '0' on: five of the number, lowest first, and one that says that
    more follow; from the third number on, what is noted is the difference to the one two before
    (https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, rleFrString).
    """
    if not isinstance(text, str):
        return None
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return None if shift else lengths


def _numbers(values: Any) -> np.ndarray | None:
    """A flat list of numbers as an array, else None."""
    if not isinstance(values, list):
        return None
    try:
        array = np.array(values)
    except (ValueError, OverflowError):
        return None
    if array.ndim != 1 or (array.size and array.dtype.kind not in 'iuf'):
        return None
    return array


def size_of(image: dict) -> tuple[int, int] | None:
    size = image.get('width'), image.get('height')
    return size if all(type(n) is int and n > 0 for n in size) else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -math.inf < value < math.inf


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
