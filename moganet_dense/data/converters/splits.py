"""The split into training and validation: reproducible, and without duplicates across splits."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from ...utils.regular_files import read_regular
from .dataset import DataSet, Sample

NEAR = 3
"""Bits of 64 by which the fingerprints of two copies of an image may differ."""

LARGEST = 0.5
"""Part of a set that near duplicates may join into one group; above it similarity is not used,
as for frames of a fixed camera, only equal content."""


def assign(data: DataSet, share: float) -> int:
    """Sets ``split`` of every sample; keeps the splits of the source.

    Where the source has no validation images, a share of the training images is used; where it
    has test images only beside training images, these are the validation images. Images are
    drawn by the digest of their content, class by class from the rarest on, so that the same
    files give the same split anywhere, and each class is in both where it can be.

    Args:
        data: the samples.
        share: of the images for validation, between 0 and 1, exclusive.

    Returns:
        images in validation of which training has a copy, which only a source's own splits can
        have.
    """
    counts = Counter(sample.split for sample in data.samples)
    stated = counts['train'] and counts['val'] + counts['test']
    groups = _groups(data.samples)
    if stated:
        for sample in data.samples:
            sample.split = sample.split or 'train'
            if not counts['val'] and sample.split == 'test':
                sample.split = 'val'
        return sum(_leaks(group) for group in groups)
    held = {id(s) for s in data.samples if s.split == 'test' and counts['test'] < len(data.samples)}
    open_groups = [[s for s in group if id(s) not in held] for group in groups]
    _draw([group for group in open_groups if group], share)
    return 0


def _leaks(group: Sequence[Sample]) -> int:
    splits = Counter(sample.split for sample in group)
    return splits['val'] if splits['train'] else 0


def _draw(groups: list[list[Sample]], share: float) -> None:
    """Fills validation class by class, the rarest first, in the order of the groups.

    A class in two groups or more gets one into validation, up to twice its share.
    """
    wanted = share * sum(map(len, groups))
    by_class: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        for label in {one.label for sample in group for one in sample.instances} or {''}:
            by_class[label].append(i)
    chosen: set[int] = set()
    decided: set[int] = set()
    for label in sorted(by_class, key=lambda k: (len(by_class[k]), k)):
        own = by_class[label]
        crowded = sum(len(groups[i]) for i in chosen) >= 2 * wanted
        target = round(share * len(own)) or int(len(own) > 1 and not crowded)
        missing = max(0, target - sum(i in chosen for i in own))
        chosen.update([i for i in own if i not in decided][:missing])
        decided.update(own)
    for i, group in enumerate(groups):
        for sample in group:
            sample.split = 'val' if i in chosen else 'train'


def _groups(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples that are copies of each other, in the order of their contents' digests."""
    with ThreadPoolExecutor() as pool:
        marks = list(pool.map(_fingerprint, [sample.file for sample in samples]))
    parent = list(range(len(samples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(pairs: list[tuple[int, int]]) -> None:
        for a, b in pairs:
            parent[root(a)] = root(b)

    join(_same([digest for digest, _ in marks]))
    join(_same([_source_name(sample.file) for sample in samples]))
    exact = list(parent)
    join(_near([fingerprint for _, fingerprint in marks]))
    sizes = Counter(root(i) for i in range(len(samples)))
    if sizes and max(sizes.values()) > max(2, LARGEST * len(samples)):
        parent[:] = exact
    found: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(samples)), key=lambda i: (marks[i][0], str(samples[i].file))):
        found[root(i)].append(i)
    return [[samples[i] for i in group] for group in found.values()]


def _source_name(file: Path) -> str | None:
    """Name of the image that Roboflow made augmented copies of: ``NAME.rf.DIGEST.jpg``."""
    found = re.match(r'(.+)\.rf\.[0-9a-f]{16,}', file.name)
    return found[1] if found else None


def _same(keys: Sequence) -> list[tuple[int, int]]:
    first: dict = {}
    return [(i, first.setdefault(key, i)) for i, key in enumerate(keys) if key is not None]


def _fingerprint(file: Path) -> tuple[bytes, int | None]:
    """Digest of a file's content, and the fingerprint of the image: 64 signs of differences
    between neighbours in a grey image of 9 x 8; None if it cannot be decoded or is uniform."""
    content = read_regular(file)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    try:
        with Image.open(BytesIO(content)) as image:
            image.draft('L', (72, 64))
            small = np.asarray(image.convert('L').resize((9, 8), Image.Resampling.BOX), int)
    except Exception:  # Pillow raises many kinds; the check reports such a file
        return digest, None
    signs = (small[:, 1:] > small[:, :-1]).ravel()
    if np.ptp(small) < 8:
        return digest, None
    return digest, int(''.join('01'[int(bit)] for bit in signs), 2)


def _near(prints: Sequence[int | None]) -> list[tuple[int, int]]:
    """Pairs that differ in up to NEAR bits: of four parts of 16 bits one is then equal."""
    found = []
    for shift in (0, 16, 32, 48):
        parts: dict[int, list[int]] = defaultdict(list)
        for i, value in enumerate(prints):
            if value is not None:
                parts[value >> shift & 0xFFFF].append(i)
        for members in parts.values():
            if len(members) <= 1000:
                found += [
                    (a, b)
                    for a, b in combinations(members, 2)
                    if (prints[a] ^ prints[b]).bit_count() <= NEAR
                ]
    return found
