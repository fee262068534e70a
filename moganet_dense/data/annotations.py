"""Rules for a box, a mask and keypoints in COCO format, one rule per function.

A fault is a severity ('error' or 'warning', see ``validation/objects.py``), what was expected, and
what was found.
"""

import math
import sys
from collections.abc import Iterator
from typing import Any

SLACK = 1.0
"""Pixels by which boxes and keypoints may exceed the image: COCO's own do, from rounding."""

FAR = 2**20
"""Pixels: no image that OpenCV reads has a longer side."""

OUTLINE = 2_000_000
"""Pixels along the edges of a polygon; pycocotools takes about 100 bytes for each."""

_LARGEST = sys.float_info.max

Fault = tuple[str, str, str]


def box(found: Any, size: tuple) -> Iterator[Fault]:
    """[x, y, width, height] in pixels: finite, positive, inside."""
    if not (isinstance(found, list) and len(found) == 4 and all(map(is_number, found))):
        yield 'error', 'expected bbox=[x, y, width, height], four finite numbers', _short(found)
        return
    x, y, w, h = found
    if is_far([x, y, x + w, y + h], size):
        yield 'error', _NEAR.format('boxes'), f'{_short(found)} in {size[0]} x {size[1]}'
    elif w < 0 or h < 0:
        yield 'error', 'expected boxes of a positive width and height', _short(found)
    elif w < 1 or h < 1:
        yield 'warning', 'boxes of less than a pixel: left out by detectors', _short(found)
    elif min(x, y) < -SLACK or x + w > size[0] + SLACK or y + h > size[1] + SLACK:
        outside = x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0
        what = 'boxes outside their image: left out' if outside else 'boxes that exceed their image'
        yield 'warning', what, f'{_short(found)} in {size[0]} x {size[1]}'


def keypoints(found: Any, number: int, size: tuple, labelled: Any) -> Iterator[Fault]:
    """x, y, visibility of each keypoint: finite; 0, 1 or 2; inside where labelled."""
    if not (isinstance(found, list) and len(found) == 3 * number):
        yield 'error', f'expected keypoints of {3 * number} numbers', _short(found)
        return
    if not all(map(is_number, found)):
        yield 'error', 'expected finite numbers in keypoints', _short(found)
        return
    xs, ys, seen = found[0::3], found[1::3], found[2::3]
    if odd := set(seen) - {0, 1, 2}:
        yield 'error', 'expected the visibility of keypoints to be 0, 1 or 2', _short(sorted(odd))
    if is_far(found_places := [n for pair in zip(xs, ys, strict=True) for n in pair], size):
        yield 'error', _NEAR.format('keypoints'), _short(found_places)
    for x, y, v in zip(xs, ys, seen, strict=True):
        if v and not (-SLACK <= x <= size[0] + SLACK and -SLACK <= y <= size[1] + SLACK):
            yield 'warning', 'labelled keypoints outside their image', f'({x}, {y})'
    if labelled is not None and labelled != (count := sum(v > 0 for v in seen)):
        yield (
            'warning',
            'num_keypoints is not the number of labelled keypoints',
            (f'{_short(labelled)}, counted {count}'),
        )


def mask(found: Any, size: tuple) -> Iterator[Fault]:
    """Polygons [[x, y, x, y, ...], ...], or run lengths {'size': [h, w], 'counts': ...}."""
    if isinstance(found, dict):
        yield from _runs(found, size)
        return
    if not isinstance(found, list) or not found:
        yield 'error', 'expected a segmentation of polygons or run lengths', _short(found)
        return
    for polygon in found:
        if not _are_finite(polygon):
            yield 'error', 'expected polygons of finite numbers', _short(polygon)
        elif len(polygon) % 2 or len(polygon) < 6:
            yield (
                'warning',
                'polygons of an odd number of values or fewer than three corners: left out',
                _short(polygon),
            )
        elif is_far(polygon, size):
            yield 'error', _NEAR.format('corners of polygons'), _short(polygon)
        elif _outline(polygon, size) > OUTLINE:
            what = f'expected polygons with an outline of at most {OUTLINE} pixels'
            yield 'error', what, f'{len(polygon) // 2} corners'


_NEAR = 'expected {} no further from their image than its longer side, or 1000 pixels'


def is_far(places: list[float], size: tuple) -> bool:
    """Whether a point is further away from an image than its longer side, or 1000 pixels.

    Finite numbers can still be harmful: pycocotools draws the outline of a polygon in memory,
    whatever its length, and a box of 1e8 pixels causes a loss from which training does not recover.

    Args:
        places: x, y, x, y, ... in pixels.
        size: width and height of the image; infinite where they are not known.
    """
    if not places:
        return False
    margin = min(max(*size, 1000), FAR)
    xs, ys = places[0::2], places[1::2]
    return (
        min(min(xs), min(ys)) < -margin
        or max(xs) > min(size[0], FAR) + margin
        or max(ys) > min(size[1], FAR) + margin
    )


def _outline(polygon: list[float], size: tuple) -> float:
    """The length of a polygon's outline in pixels, of each edge along its longer axis; 0 where
    the corners are too few for a long one."""
    corners = list(zip(polygon[0::2], polygon[1::2], strict=True))
    if len(corners) * 3 * min(max(*size, 1000), FAR) <= OUTLINE:
        return 0
    edges = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(max(abs(x - a), abs(y - b)) for (x, y), (a, b) in edges)


def _runs(found: dict, size: tuple) -> Iterator[Fault]:
    shape, counts = found.get('size'), found.get('counts')
    lengths = counts if isinstance(counts, list) else decode_runs(counts)
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)):
        yield 'error', 'expected run lengths to have size=[height, width]', _short(shape)
    elif lengths is None or not all(type(n) is int and n >= 0 for n in lengths):
        yield (
            'error',
            'expected counts of run lengths, integers or their encoded string',
            _short(counts),
        )
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
    """Run lengths from COCO's encoded string; None if it is malformed.

    Six bits per character from '0' on: five of the number, lowest first, and one that marks that
    more follow; from the fourth number on, the difference to the number two before is stored
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


def _are_finite(values: Any) -> bool:
    """Whether it is a list of finite numbers, tested by its sum."""
    try:
        return isinstance(values, list) and math.isfinite(sum(values))
    except (TypeError, OverflowError):
        return False


def is_number(value: Any) -> bool:
    """Whether it is a finite number, as a float too, and not a bool."""
    return type(value) in (int, float) and -_LARGEST <= value <= _LARGEST


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
