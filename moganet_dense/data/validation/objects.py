"""Checks every image and annotation of a COCO file.

Errors are faults that the toolboxes would silently train on, drop or mix up. Warnings are data that
they handle in a defined way: clipped, dropped, or without an object. The rules for a single box,
mask or person are in ``data/annotations.py``.
"""

import math
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from ..annotations import FAR, Fault, box, is_number, keypoints, mask
from .findings import Finding


@dataclass(frozen=True)
class Kind:
    """The parts of annotations to check besides boxes.

    Attributes:
        masks: whether to check segmentations.
        keypoints: how many keypoints a person has, or None.
    """

    masks: bool = False
    keypoints: int | None = None


def of_file(content: dict, file: str, kind: Kind) -> Iterator[Finding]:
    """All findings of a file.

    Args:
        content: of the file, from :func:`~.coco.read_coco`.
        file: its path, for the findings.
        kind: the parts to check; all others are ignored.
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
            rule = 'expected a width and height of each image, positive integers'
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
            yield Finding(f'expected each id of {what} once', 'a duplicate', file, key)
        seen.add(key)


def names(images: Iterable[dict], file: str) -> Iterator[Finding]:
    """File names that occur twice, or point outside the folder of the data set."""
    seen: set[str] = set()
    for image in images:
        name = image['file_name']
        if name in seen:
            yield Finding('the same file under two ids', name, file, image['id'], 'warning')
        seen.add(name)
        if os.path.isabs(name) or '..' in name.split('/'):
            rule = 'file names that point outside the data folder: read from there'
            yield Finding(rule, name, file, image['id'], 'warning')


def _of_row(row: dict, size: tuple, kind: Kind) -> Iterator[Fault]:
    if kind.keypoints is not None:
        if 'bbox' in row:
            yield from box(row['bbox'], size)
        labelled = row.get('num_keypoints')
        if row.get('keypoints') or ('keypoints' in row and labelled != 0):
            yield from keypoints(row['keypoints'], kind.keypoints, size, labelled)
        return
    yield from box(row.get('bbox'), size)
    if not is_number(row.get('area')):
        yield 'error', "expected an 'area', a number, of each annotation", repr(row.get('area'))
    if kind.masks:
        yield from mask(row.get('segmentation'), size)


def size_of(image: dict) -> tuple[int, int] | None:
    """Width and height in the file, in pixels; None unless both are positive integers within the
    limits of OpenCV."""
    size = image.get('width'), image.get('height')
    return size if all(type(n) is int and 0 < n <= FAR for n in size) else None
