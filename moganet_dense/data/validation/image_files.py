"""Decodes every image and label map of a data set as in training, and compares them."""

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from ...utils.errors import UserError, reason_of
from ...utils.python_process import ignoring_current_folder
from ..image_io import decode, read_whole
from .findings import Finding

FEW = 64
"""Below this number of images no further process is started."""


@dataclass(frozen=True)
class ImageSpec:
    """An image of a data set, and its expected properties.

    Attributes:
        file: its path.
        split: 'train' or 'val'.
        size: width and height that the annotations state, or None.
        labels: path of its label map, or None.
        rule: meaning of its numbers, with ``no_class``.
    """

    file: str
    split: str
    size: tuple[int, int] | None = None
    labels: str | None = None
    rule: Any = None


def check_images(images: Sequence[ImageSpec], processes: int | None = None) -> Iterator[Finding]:
    """Findings of all images; shows the progress.

    Args:
        images: of all splits.
        processes: number of decoding processes; None: one per core.
    """
    by_content = defaultdict(list)
    for image, (digest, found) in zip(images, _checked(images, processes), strict=True):
        yield from found
        if digest:
            by_content[digest].append(image)
    yield from in_both(by_content.values(), 'content')
    by_name = defaultdict(list)
    for image in images:
        by_name[os.path.abspath(image.file)].append(image)
    yield from in_both((p for k, p in by_name.items() if not os.path.isfile(k)), 'name')


def in_both(groups: Iterable[Sequence[ImageSpec]], what: str) -> Iterator[Finding]:
    """The same image in training and validation, which inflates the results."""
    for group in groups:
        first = {image.split: image.file for image in reversed(group)}
        if {'train', 'val'} <= set(first):
            rule = f'expected different images in train and val, found the same {what}'
            yield Finding(rule, f'in val as {first["val"]}', first['train'])


def _checked(images: Sequence[ImageSpec], processes: int | None) -> Iterator[tuple]:
    if len(images) <= FEW:
        yield from map(check_image, images)
        return
    with (
        ignoring_current_folder(),
        ProcessPoolExecutor(processes or os.cpu_count(), get_context('spawn')) as pool,
    ):
        seen = pool.map(check_image, images, chunksize=16)
        yield from track(seen, 'decoding', total=len(images))


def check_image(image: ImageSpec) -> tuple[bytes, list[Finding]]:
    """Digest of an image's file, empty if it cannot be read, and its findings."""
    try:
        digest = hashlib.blake2b(read_whole(image.file), digest_size=16).digest()
        height, width = decode(image.file).shape[:2]
    except UserError as error:
        return b'', [Finding('expected images that can be read', str(error), image.file)]
    found = []
    if image.size and image.size != (width, height):
        stated = '{} x {}'.format(*image.size)
        rule = 'expected images of the size that the annotations state'
        found.append(Finding(rule, f'{width} x {height}, stated {stated}', image.file))
    if image.labels:
        found += label_map(image, (width, height))
    return digest, found


def label_map(image: ImageSpec, size: tuple[int, int]) -> Iterator[Finding]:
    """Checks that a label map can be read, has the size of its image, and only valid classes."""
    file = image.labels
    try:
        labels = read_labels(file)
    except UserError as error:
        yield Finding('expected label maps that can be read', str(error), file)
        return
    if labels.ndim != 2:
        found = f'{labels.shape[2]} channels'
        yield Finding('expected label maps of one number per pixel', found, file)
        return
    if labels.shape[::-1] != size:
        found = '{} x {}, image {} x {}'.format(*labels.shape[::-1], *size)
        yield Finding('expected label maps of the size of their images', found, file)
    values = {int(value) for value in np.unique(labels)}
    if odd := image.rule.no_class(values):
        rule = (
            f'expected labels of {len(image.rule.names)} classes with '
            f'reduce_zero_label={image.rule.reduced}'
        )
        yield Finding(rule, f'labels {sorted(odd)[:10]}', file)


def read_labels(file: str) -> np.ndarray:
    """A label map as mmseg reads it, with Pillow: the numbers of a palette, not its colours.

    Raises:
        UserError: it cannot be read; one line with its path.
    """
    content = read_whole(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Pillow's limit of pixels
            with Image.open(BytesIO(content)) as image:
                return np.asarray(image)
    except Exception as error:  # Pillow raises many kinds
        reason = reason_of(error)
        raise UserError(f'{file}: the label map cannot be read ({reason})') from None
