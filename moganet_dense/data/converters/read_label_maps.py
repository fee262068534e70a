"""Folders of images and label maps: indices, palettes, colours, 0 and 255; Cityscapes' tree.

A label map belongs to the image of the same name, after endings such as ``_mask`` or ``_L``, in
the nearest folder. The number or colour of each class is read from ``labelmap.txt`` (CVAT),
``class_dict.csv``, ``label_colors.txt`` (CamVid) or a list of names; without one, classes are
named by their number or colour.
"""

import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ...utils.errors import UserError, reason_of
from ...utils.regular_files import read_regular
from . import label_names
from .dataset import DataSet
from .files import Tree, split_named
from .instances import open_sample
from .read_voc import image_sets

NAME = 'label maps'
VOID = 255
"""Index of pixels without a class."""

_FOLDERS = re.compile(
    r'^(.*annot|labels?|masks?|annotations?|gt|gtfine|gtcoarse|ground_?truths?|seg_?maps?|'
    r'label_?maps?|segmentation|gt_image.*|segmentationclass(png)?|labeledapproved.*|.*_labels|.*_masks?)$',
    re.IGNORECASE,
)
_LABEL_ENDING = re.compile(
    r'[_.-](gtfine_labeltrainids|gtfine_labelids|gtcoarse_labeltrainids|gtcoarse_labelids|'
    r'masks?[_-]?\d*|'
    r'labels?|labelids|labeltrainids|gt|seg|l|annotation|segmentation|png_mask)$',
    re.IGNORECASE,
)
_IMAGE_ENDING = re.compile(r'_(leftimg8bit|img|image|rgb)$', re.IGNORECASE)
_START = re.compile(r'^(masks?|labels?|seg|gt|images?|img)[_.-]?(?=.)', re.IGNORECASE)
_OTHER = re.compile(
    r'(_color|_colour|_instanceids|_instances|_viz|_overlay)$|segmentationobject|^panoptic(_|$)',
    re.IGNORECASE,
)
MOST_COLOURS = 256
FEW = 5
"""Numbers or colours up to which thin ones may be classes, such as poles or cracks."""


def find(tree: Tree) -> list[tuple[Path, Path]]:
    """Pairs of an image and its label map."""
    chosen, alone, _ = _pairs(tree)
    return sorted(chosen.items()) if 3 * len(chosen) >= len(alone) else []


def _pairs(tree: Tree) -> tuple[dict[Path, Path], list[Path], list[Path]]:
    """Label maps by their images, those without an image, and further ones of an image."""
    maps, images = [], defaultdict(list)
    for file in tree.images():
        if is_label_map(tree, file):
            maps += [] if _is_other(tree, file) else [file]
            continue
        for name in _image_names(file.stem.lower()):
            images[name].append(file)
    chosen: dict[Path, Path] = {}
    alone, more = [], []
    for file in maps:
        found = next((images[n] for n in _map_names(file.stem.lower()) if n in images), [])
        image = max(found, key=lambda f: _likeness(f, file), default=None)
        if image is None:
            alone.append(file)
        elif image not in chosen or _rank(file) < _rank(chosen[image]):
            chosen[image] = file
        elif _rank(file) == _rank(chosen[image]):
            more.append(file)
    return chosen, alone, more


def is_label_map(tree: Tree, file: Path) -> bool:
    """Whether an image is a label map, or a drawing of one, by its name or folders."""
    parts = file.relative_to(tree.root).parts[:-1] if file.is_relative_to(tree.root) else ()
    named = any(_FOLDERS.match(part) for part in parts) or _LABEL_ENDING.search(file.stem)
    return bool(named) or _is_other(tree, file)


def _is_other(tree: Tree, file: Path) -> bool:
    parts = file.relative_to(tree.root).parts[:-1] if file.is_relative_to(tree.root) else ()
    return any(_OTHER.search(part) for part in (file.stem, *parts))


def _image_names(stem: str) -> list[str]:
    """Names that a label map of an image may have: image_1 and image_1_rgb may be 1."""
    return list(dict.fromkeys((stem, _IMAGE_ENDING.sub('', stem), _START.sub('', stem))))


def _map_names(stem: str) -> Iterator[str]:
    """Names that the image of a label map may have: 1_mask, 1_P and mask_1 may be of 1."""
    yield stem
    yield _LABEL_ENDING.sub('', stem)
    yield _IMAGE_ENDING.sub('', stem)
    yield _START.sub('', stem)
    yield re.sub(r'[_.-][a-z]+$', '', stem)


def _rank(file: Path) -> int:
    """Sort key of several maps of an image: training indices before raw ones."""
    name = file.stem.lower()
    return 0 if name.endswith('labeltrainids') else 2 if name.endswith('labelids') else 1


def _likeness(image: Path, labels: Path) -> tuple[int, int]:
    """The number of equal folder names of two paths, and the length of their common prefix."""
    shared = set(image.parts[:-1]) & set(labels.parts[:-1])
    return len(shared), len(os.path.commonpath([image, labels]))


def read(tree: Tree, pairs: list[tuple[Path, Path]], void: int | None = None) -> DataSet:
    """All pairs, and the number or colour of each class in the maps.

    Args:
        tree: the data set's files.
        pairs: from :func:`find`.
        void: number in the maps that is not a class, besides 255.

    Raises:
        UserError: label maps are lossy, or have too many colours to be classes.
    """
    data = DataSet(NAME)
    _, alone, more = _pairs(tree)
    for labels in alone:
        data.left_out.add('label maps without an image', labels)
    for labels in more:
        what = 'further label maps of an image, not used: draw the classes of an image into one'
        data.left_out.add(what, labels)
    found, areas = _add_samples(data, tree, pairs)
    table = label_names.read(tree)
    if not table.names and label_names.is_voc(tree):
        table = label_names.voc(found)
    if any(_rank(labels) != 1 for _, labels in pairs):
        table = label_names.CITYSCAPES[_rank(pairs[0][1])]
    if not table.values:
        _require_areas(tree, found, areas)
    if void is not None and void not in found:
        raise UserError(f'--void: expected a number of the label maps, found {void}, which no '
                        f'label map has; they have {sorted(map(str, found))[:12]}')  # fmt: skip
    data.classes, data.colours = label_names.match(data, found, table, void)
    if len(data.classes) > VOID:
        raise UserError(
            f'{tree.root}: expected label maps of up to {VOID} classes, found {len(data.classes)}'
        )
    return data


def _add_samples(
    data: DataSet, tree: Tree, pairs: list[tuple[Path, Path]]
) -> tuple[Counter, Counter]:
    """Adds the usable pairs to ``data``.

    Returns:
        the number of pixels of each number or colour, and of those inside areas.

    Raises:
        UserError: label maps are lossy.
    """
    areas: Counter = Counter()
    found: Counter = Counter()
    splits = image_sets(tree, 'Segmentation')
    for image, labels in pairs:
        if kind := lossy_format(labels):
            raise UserError(
                f'{labels}: expected lossless label maps, found {kind}, which changes the numbers '
                'at edges; export the label maps as PNG'
            )
        sample = open_sample(data, tree, image)
        if sample is None:
            continue
        values = _values(data, labels, sample.size, areas)
        if values is None:
            continue
        found.update(values)
        sample.labels = labels
        sample.split = (splits.get(image.stem) or split_named(image, tree.root)
                        or split_named(labels, tree.root))  # fmt: skip
        data.samples.append(sample)
    return found, areas


def lossy_format(file: Path) -> str | None:
    """JPEG or lossy WebP, by the content of a file; None: another format."""
    with file.open('rb') as stream:
        start = stream.read(16)
    if start.startswith(b'\xff\xd8\xff'):
        return 'JPEG'
    return 'lossy WebP' if start[8:] == b'WEBPVP8 ' else None


def _require_areas(tree: Tree, found: Counter, areas: Counter) -> None:
    """Checks that there are not too many colours, and that most numbers or colours fill areas.

    Those that occur along edges alone come from smoothing, or from lossy compression.

    Args:
        tree: the data set's files.
        found: pixels by number or colour.
        areas: pixels inside an area of 2 x 2 or more, likewise.

    Raises:
        UserError: most of them do not, or there are more than those of classes.
    """
    thin = [value for value in found if not areas[value]]
    if len(found) >= FEW and 2 * len(thin) > len(found):
        raise UserError(
            f'{tree.root}: expected label maps of one number or colour per class, found '
            f'{len(found)}, of which {len(thin)} occur only along edges, as after smoothing, '
            'resizing or lossy compression; export the label maps as PNG without smoothing, or '
            'list the colours of the classes in class_dict.csv, with the columns name,r,g,b: '
            'others are ignored then'
        )
    colours = sorted(value for value in found if isinstance(value, tuple))
    if len(colours) > MOST_COLOURS:
        raise UserError(
            f'{tree.root}: expected label maps of up to {MOST_COLOURS} colours, found '
            f'{len(colours)}, such as {colours[:3]}; are these photographs?'
        )


def _values(data: DataSet, file: Path, size: tuple[int, int], areas: Counter) -> dict | None:
    """Pixels by number or colour; None if the map cannot be used; counted.

    Args:
        data: counts what cannot be used.
        file: the label map.
        size: of its image.
        areas: counts the pixels inside areas.
    """
    try:
        labels = load(file)
    except UserError as error:
        data.left_out.add('label maps that cannot be read', str(error))
        return None
    if labels.shape[1::-1] != size:
        found = f'{file}: {labels.shape[1]} x {labels.shape[0]}, image {size[0]} x {size[1]}'
        data.left_out.add('label maps of another size than their image', found)
        return None
    areas.update(_counts(labels, inside=True))
    return _counts(labels)


def _counts(labels: np.ndarray, inside: bool = False) -> dict:
    """Pixels by number or colour; ``inside``: those in blocks of 2 x 2 alone."""
    coloured = labels.ndim == 3
    if coloured:
        labels = labels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    if inside:
        rows = labels[:-1] == labels[1:]
        block = rows[:, :-1] & rows[:, 1:] & (labels[:-1, :-1] == labels[:-1, 1:])
        labels = labels[:-1, :-1][block]
    values, counts = np.unique(labels, return_counts=True)
    keys = values.tolist()
    if coloured:
        keys = [(v >> 16, v >> 8 & 255, v & 255) for v in keys]
    return dict(zip(keys, counts.tolist(), strict=True))


def load(file: Path) -> np.ndarray:
    """A label map: (H, W) of numbers, or (H, W, 3) of colours; grey colours are numbers.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Pillow's limit of pixels
            with Image.open(BytesIO(read_regular(file))) as image:
                array = np.asarray(image)
    except Exception as error:  # Pillow raises many kinds
        reason = getattr(error, 'strerror', None) or reason_of(error)
        raise UserError(f'{file}: the label map cannot be read ({reason})') from None
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == 'f':
        if not (array == np.round(array)).all():  # NaN is not equal to itself
            raise UserError(f'{file}: expected whole numbers in label maps, found fractions')
        array = array.astype(np.int32)
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[..., : array.shape[2] - 1]
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    return array


def indices(labels: np.ndarray, table: dict) -> np.ndarray:
    """A label map as indices of classes, (H, W) uint8.

    Args:
        labels: as :func:`load` gives it.
        table: index by number or colour; all others become :data:`VOID`.
    """
    if labels.ndim == 3:
        labels = labels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    out = np.full(labels.shape, VOID, np.uint8)
    for value, index in table.items():
        if isinstance(value, tuple):
            value = value[0] << 16 | value[1] << 8 | value[2]
        out[labels == value] = index
    return out


def is_identity(table: dict) -> bool:
    """Whether the maps contain the indices already."""
    return all(not isinstance(v, tuple) and v == i for v, i in table.items())
