"""YOLO: ``data.yaml`` or plain folders, with boxes, segments, keypoints or rotated boxes.

A text file per image, a line per instance, coordinates relative to the image's width and height:
``class cx cy w h`` (box), ``class x1 y1 x2 y2 ...`` (segment; rotated boxes have four corners),
``class cx cy w h x1 y1 [v1] ...`` (keypoints). The text file of ``.../images/a.jpg`` is
``.../labels/a.txt``, or is next to its image, as in darknet
(https://docs.ultralytics.com/datasets/detect/).
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from ...utils.errors import UserError
from .dataset import MOST_CLASSES, MOST_KEYPOINTS, SPLITS, DataSet, Instance, Sample
from .files import Tree, is_file, is_folder, read_text, read_yaml, split_named
from .instances import add, open_sample, visibilities

NAME = 'YOLO'
_NAME_FILES = ('classes.txt', 'obj.names', '_darknet.labels', 'predefined_classes.txt')
_LISTS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}
_NO_LABELS = {*_NAME_FILES, *(f'{name}.txt' for name in _LISTS), 'readme.txt', 'labels.txt',
              'readme.roboflow.txt', 'readme.dataset.txt', 'requirements.txt'}  # fmt: skip

_NAMES = {'names', 'kpt_shape', 'flip_idx', 'kpt_names'}
"""Keys of a description without splits."""


@dataclass
class _Layout:
    """The content of data.yaml, or what was derived without one."""

    names: dict[int, str] = field(default_factory=dict)
    images: list[tuple[Path, str | None]] = field(default_factory=list)
    points: tuple[int, int] | None = None
    swaps: list[int] | None = None
    keypoint_names: list[str] = field(default_factory=list)


def find(tree: Tree) -> list[Path]:
    """data.yaml, or text files of numbers at the place where the annotations of an image are."""
    described = [f for f in tree.ending('.yaml', '.yml') if _description(f)]
    if described:
        return sorted(described, key=lambda f: (f.stem.lower() != 'data', len(f.parts)))
    labels = {label_file(tree, image) for image in tree.images()}
    names = _by_name(_listed_names(tree))
    found = [file for file in tree.ending('.txt') if file in labels and _has_rows(file, names)]
    return found[:1]


def _description(file: Path) -> dict[str, Any] | None:
    try:
        content = read_yaml(file)
    except UserError:
        if file.stem.lower() == 'data' or re.search(r'^names\s*:', read_text(file), re.M):
            raise
        return None
    if not isinstance(content, dict):
        return None
    if isinstance(content.get('names'), (list, dict, str)):
        own = file.stem.lower() == 'data' or set(content) <= _NAMES
        return content if own or set(content) & {*SPLITS, 'valid', 'nc', 'path'} else None
    return content if type(content.get('nc')) is int and set(content) & {*SPLITS} else None


def _has_rows(file: Path, names: dict[str, int]) -> bool:
    rows = [_words(line) for line in read_text(file).splitlines() if line.strip()]
    return bool(rows) and all(len(_values(row, names) or ()) >= 5 for row in rows[:5])


def _by_name(names: dict[int, str]) -> dict[str, int]:
    """Numbers of classes by their names, as the words of a line have them; of several classes of a
    name the first, with which the others are merged."""
    return {' '.join(_words(name)): number for number, name in reversed(names.items())}


def _values(words: list[str], names: dict[str, int]) -> list[float] | None:
    """The numbers of a line, which may begin with the name of a class, of one word or several, in
    place of its number; None: it has others."""
    if all(map(_is_number, words)):
        return [float(word) for word in words]
    for count in range(1, len(words) - 3):  # a box has four numbers
        number = names.get(' '.join(words[:count]))
        if number is not None and all(map(_is_number, words[count:])):
            return [number, *map(float, words[count:])]
    return None


def _words(line: str) -> list[str]:
    return line.replace(',', ' ').split()


def _is_number(word: str) -> bool:
    try:
        return isinstance(float(word), float)
    except ValueError:
        return False


def label_file(tree: Tree, image: Path) -> Path | None:
    """The annotations of an image: in ``labels`` for ``images``, else next to it; ignoring case.
    None: there are none."""
    parts = [part.lower() for part in image.with_suffix('.txt').parts]
    beside = Path(*parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    found = tree.texts.get(Path(*parts)) or tree.texts.get(beside)
    if found is None and not image.is_relative_to(tree.root):  # data.yaml names another folder
        moved = Path(re.sub(r'(?i)(.*)\bimages\b', r'\1labels', str(image))).with_suffix('.txt')
        found = next((f for f in (moved, image.with_suffix('.txt')) if f.is_file()), None)
    return found


def read(tree: Tree, files: list[Path]) -> DataSet:
    """The data set of the first description, or of the folders."""
    data = DataSet(NAME)
    described = _description(files[0]) if files[0].suffix in ('.yaml', '.yml') else None
    layout = (
        _from_description(data, tree, files[0], described) if described else _from_folders(tree)
    )
    labels = {image: label_file(tree, image) for image, _ in layout.images}
    names = _by_name(layout.names)
    rows = {image: list(_rows(data, file, names)) for image, file in labels.items()}
    _count_rest(data, tree, set(labels.values()), names)
    for file in files[1:] if described else ():
        what = f'descriptions besides {files[0].name}, not used'
        data.left_out.add(what, file)
    if layout.points is None and not described:
        layout.points = _guess_points(rows)
    if layout.points:
        count = layout.points[0]
        data.keypoints = layout.keypoint_names or [f'keypoint_{i}' for i in range(count)]
        data.swaps = layout.swaps
    if not layout.names:
        numbers = [_class(values) for found in rows.values() for _, values in found]
        largest = max((n for n in numbers if n is not None), default=-1)
        layout.names = {i: f'class_{i}' for i in range(largest + 1)}
    _count_from_1(data, layout, rows)
    for name in layout.names.values():
        if name.strip() in data.classes:
            data.changed.add('classes of one name, merged', repr(name))
        data.class_of(name)
    for image, split in layout.images:
        if sample := open_sample(data, tree, image):
            sample.split = split
            data.samples.append(sample)
            for where, words in rows[image]:
                _add_row(data, sample, words, layout, where)
    return data


def _count_rest(data: DataSet, tree: Tree, used: set[Path | None], names: dict[str, int]) -> None:
    """Label files whose image is missing, or not in the splits of data.yaml."""
    for file in tree.ending('.txt'):
        if file not in used and file.name.lower() not in _NO_LABELS and _has_rows(file, names):
            data.left_out.add('label files without an image', file)


def _count_from_1(data: DataSet, layout: _Layout, rows: dict[Path, list]) -> None:
    """Class numbers from 1 to the number of names, though YOLO counts from 0."""
    numbers = {values[0] for found in rows.values() for _, values in found}
    count = len(layout.names)
    if set(layout.names) == set(range(count)) and numbers <= set(range(1, count + 1)) and (
        count in numbers
    ):  # fmt: skip
        data.changed.add(
            'class numbers from 1, converted to count from 0', f'{count} names, number {count}'
        )
        layout.names = {i + 1: name for i, name in layout.names.items()}


def _from_description(data: DataSet, tree: Tree, file: Path, content: dict) -> _Layout:
    names = content.get('names') or [f'class_{i}' for i in range(min(content['nc'], MOST_CLASSES))]
    names = names.split(',') if isinstance(names, str) else names
    pairs = dict(names.items() if isinstance(names, dict) else enumerate(names))
    layout = _Layout({_whole(key, file): _name(name, file) for key, name in pairs.items()})
    if content.get('kpt_shape') is not None:
        _take_keypoints(layout, content, file)
    base = file.parent
    if isinstance(content.get('path'), str):
        stated = Path(content['path'])
        base = next((p for p in (file.parent / stated, file.parent / stated.name) if is_folder(p)),
                    file.parent)  # fmt: skip
    for split in SPLITS:
        stated = content.get(split) or content.get({'val': 'valid'}.get(split, split)) or []
        for one in _flat(stated):
            images = [(image, split) for image in _images_at(tree, base, one, file)]
            if not images and split != 'test':  # which Roboflow names if there is none
                data.left_out.add('folders or lists of data.yaml without images', f'{split}: {one}')
            layout.images += images
    seen: set[Path] = set()
    layout.images = [p for p in layout.images if not (p[0] in seen or seen.add(p[0]))]
    if not layout.images:
        layout.images = _from_folders(tree).images
    return layout


def _flat(stated: Any) -> Iterator[str]:
    """The paths of a split: one, or lists of them."""
    if not isinstance(stated, list):
        yield str(stated)
        return
    for one in stated:
        yield from _flat(one)


def _whole(key: Any, file: Path) -> int:
    if type(key) is int or (isinstance(key, str) and key.isdecimal()):
        return int(key)
    raise UserError(f'{file}: expected the numbers of classes as keys of names, found {key!r}')


def _name(name: Any, file: Path) -> str:
    if isinstance(name, (list, dict)):
        raise UserError(f'{file}: expected a text for each name, found a {type(name).__name__}')
    return str(name)


def _take_keypoints(layout: _Layout, content: dict, file: Path) -> None:
    """kpt_shape, flip_idx and kpt_names.

    Raises:
        UserError: one is malformed.
    """
    shape, swaps = content['kpt_shape'], content.get('flip_idx')
    pair = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not pair or shape[0] not in range(1, MOST_KEYPOINTS + 1) or shape[1] not in (2, 3):
        raise UserError(f'{file}: expected kpt_shape: [number of keypoints, 2 or 3], found {shape}')
    numbers = list(range(shape[0]))
    if swaps is not None and not (isinstance(swaps, list) and set(map(repr, swaps)) == set(
        map(repr, numbers)) and len(swaps) == len(numbers)):  # fmt: skip
        raise UserError(f'{file}: expected flip_idx to have each of 0 to {numbers[-1]} once')
    named = content.get('kpt_names') or {}
    first = next(iter(named.values()), []) if isinstance(named, dict) else named
    if first and not (isinstance(first, list) and len(first) == len(numbers)):
        raise UserError(f'{file}: expected {len(numbers)} kpt_names, found others')
    layout.points, layout.swaps = (shape[0], shape[1]), swaps
    layout.keypoint_names = [_name(name, file) for name in first]


def _images_at(tree: Tree, base: Path, stated: str, file: Path) -> Iterator[Path]:
    """Images of a folder or a list; Roboflow's ``../train/images`` is next to data.yaml, and of a
    path on another machine the end counts."""
    parts = [p for p in PureWindowsPath(stated).parts if p not in ('.', '..', '\\', '/')]
    absolute = stated.startswith('/') or bool(PureWindowsPath(stated).drive)
    below = [Path(*parts[i:]) for i in range(len(parts) if absolute else min(1, len(parts)))]
    ends = [folder / end for end in below for folder in (base, file.parent)]
    for target in (base / stated, file.parent / stated, *ends):
        target = Path(os.path.normpath(target))
        if is_folder(target):
            real = Path(os.path.realpath(target))
            if real in tree.root.parents:
                return  # such as / or the home of the user
            yield from (target / p.relative_to(real) for p in Tree(real).images())
            return
        if is_file(target):
            for line in filter(None, map(str.strip, read_text(target).splitlines())):
                if found := tree.find_image(line, target):
                    yield found
            return


def _listed_names(tree: Tree) -> dict[int, str]:
    """The names of classes in a list such as classes.txt."""
    for file in tree.files:
        if file.name.lower() in _NAME_FILES:
            lines = [line.strip() for line in read_text(file).splitlines()]
            return dict(enumerate(filter(None, lines)))
    return {}


def _from_folders(tree: Tree) -> _Layout:
    layout = _Layout(_listed_names(tree))
    listed = _lists(tree)
    if {*listed.values()} > {'train'}:
        layout.images = [(image, listed[image]) for image in tree.images() if image in listed]
    else:
        layout.images = [(image, split_named(image, tree.root)) for image in tree.images()]
    return layout


def _lists(tree: Tree) -> dict[Path, str]:
    """Splits of images by darknet's lists of paths, such as train.txt and valid.txt."""
    found: dict[Path, str] = {}
    for file in tree.ending('.txt'):
        if split := _LISTS.get(file.stem.lower().removeprefix('autosplit_')):
            for line in filter(None, map(str.strip, read_text(file).splitlines())):
                if image := tree.find_image(line, file):
                    found.setdefault(image, split)
    return found


def _rows(
    data: DataSet, file: Path | None, names: dict[str, int]
) -> Iterator[tuple[str, list[float]]]:
    """Numbers of each line, with the place of the line."""
    if file is None or file.name.lower() in _NO_LABELS:
        return
    seen = set()
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words, where = _words(line), f'{file}, line {number}'
        if not words:
            continue
        values = _values(words, names)
        if values is None:
            data.left_out.add('lines that are not numbers after a class number or name', where)
            continue
        if not _is_number(words[0]):
            data.changed.add('lines that begin with the name of a class', where)
        if tuple(values) in seen:
            data.left_out.add('duplicate lines', where)
            continue
        seen.add(tuple(values))
        yield where, values


def _guess_points(rows: dict[Path, list]) -> tuple[int, int] | None:
    """Keypoints without a description: all lines are of one length, and each third number after
    the box is 0, 1 or 2. Segments of one length would need visibilities for coordinates."""
    lines = [values for found in rows.values() for _, values in found]
    lengths = {len(values) for values in lines}
    if len(lengths) != 1:
        return None
    (length,) = lengths
    fits = length > 5 and (length - 5) % 3 == 0
    if fits and all(set(values[7::3]) <= {0.0, 1.0, 2.0} for values in lines):
        return (length - 5) // 3, 3
    return None


def _add_row(
    data: DataSet, sample: Sample, values: list[float], layout: _Layout, where: str
) -> None:
    number = _class(values)
    if number not in layout.names:
        known = f'{min(layout.names, default=0)} to {max(layout.names, default=-1)}'
        data.left_out.add(f'lines whose class is none of {known}', f'{where}: {values[0]:g}')
        return
    one = Instance(data.class_of(layout.names[number]))
    rest, (width, height) = values[1:], sample.size
    if not all(map(math.isfinite, rest)) or any(abs(v) > 2 for v in _coordinates(rest, layout)):
        data.left_out.add('lines whose coordinates are not between 0 and 1', where)
        return
    if layout.points:
        expected = 4 + layout.points[0] * layout.points[1]
        if len(rest) not in (4, expected):
            data.left_out.add(f'lines without {expected + 1} numbers', where)
            return
        one.box = _box(rest, width, height)
        one.keypoints = _keypoints(rest[4:], layout.points, width, height)
        if one.keypoints:
            one.keypoints = visibilities(data, one.keypoints, where)
    elif len(rest) in (4, 5):
        if len(rest) == 5:
            data.changed.add('lines with a score at the end, which is ignored', where)
        one.box = _box(rest, width, height)
    elif len(rest) >= 6 and len(rest) % 2 == 0:
        one.polygons = [[v * (width, height)[i % 2] for i, v in enumerate(rest)]]
    else:
        data.left_out.add('lines whose number of values is neither a box nor an outline', where)
        return
    add(data, sample, one, where)


def _class(values: list[float]) -> int | None:
    """The number of a line's class; None: it is none."""
    number = values[0]
    sound = 0 <= number < MOST_CLASSES and number == int(number)  # NaN compares false
    return int(number) if sound else None


def _coordinates(rest: list[float], layout: _Layout) -> list[float]:
    if layout.points and layout.points[1] == 3:
        return [*rest[:4], *rest[4::3], *rest[5::3]]
    return rest


def _box(rest: list[float], width: int, height: int) -> tuple[float, float, float, float]:
    cx, cy, w, h = rest[:4]
    return (cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height


def _keypoints(
    values: list[float], shape: tuple[int, int], width: int, height: int
) -> list[float] | None:
    """x, y, visibility in pixels. Without a visibility, 0, 0 means not labelled."""
    if not values:
        return None
    found: list[float] = []
    for i in range(0, len(values), shape[1]):
        x, y = values[i] * width, values[i + 1] * height
        seen = values[i + 2] if shape[1] == 3 else 2.0 * bool(values[i] or values[i + 1])
        found += [x, y, seen]
    return found
