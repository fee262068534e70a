"""The number or colour of each class in label maps, from the files that describe them."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dataset import DataSet
from .files import Tree, read_text

VOID = 255
_LISTS = ('classes.txt', 'class_names.txt', 'labels.txt', 'codes.txt', 'names.txt')
_BACKGROUND = re.compile(r'^[_\s]*(back_?ground|bg|void|unlabell?ed|none|other)[_\s]*$', re.I)
_IGNORE = re.compile(r'^[_\s]*(ignore|void|unlabell?ed|border)[_\s]*$', re.I)
_MOSTLY = 0.5
"""Share of the pixels above which an unnamed 0 is the background."""
_SURROUNDINGS = re.compile(
    r'\b(sky|roads?|street|sidewalk|ground|floor|walls?|ceiling|buildings?|grass|vegetation|trees?|'
    r'forest|terrain|soil|sand|field|land|snow|water|sea|river|rock|mountain)\b', re.I
)  # fmt: skip
"""Names of what surrounds objects: with one of them each pixel has a class."""
_LISTED = 8
"""Numbers or colours of no class that are counted one by one."""
_BORDER = (224, 224, 192)
"""Colour that Pascal VOC draws around objects."""


@dataclass
class Table:
    """Names of classes, and the number or colour of each if a file defines it.

    Attributes:
        names: in the order of the file.
        values: number or colour of each; empty if only the order is known.
        file: where they are from.
    """

    names: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    file: Path | None = None


_TRAIN = ['road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light',
          'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck',
          'bus', 'train', 'motorcycle', 'bicycle']  # fmt: skip
_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
CITYSCAPES = {0: Table(_TRAIN, list(range(19))), 2: Table(_TRAIN, _IDS), 1: Table()}
"""Classes of Cityscapes by the kind of map: training indices (0) or raw ones (2)
(https://github.com/mcordts/cityscapesScripts/blob/master/cityscapesscripts/helpers/labels.py)."""


_VOC = ['background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat',
        'chair', 'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant',
        'sheep', 'sofa', 'train', 'tvmonitor']  # fmt: skip


def is_voc(tree: Tree) -> bool:
    """Whether it is Pascal VOC itself, not a data set in its layout: by the names of folders."""
    folders = {part for file in tree.files for part in file.parts[:-1]}
    return 'SegmentationClass' in folders and any(re.match(r'VOC20\d\d', name) for name in folders)


def voc(found: Iterable[Any]) -> Table:
    """Pascal VOC's classes, by number or by colour; no table if there are others.

    The colour of a class has the bits of its number, three at a time, as the highest bits of red,
    green and blue (VOCdevkit, VOClabelcolormap.m).

    Args:
        found: the numbers or colours in the label maps.
    """
    values: list[Any] = list(range(len(_VOC)))
    if any(isinstance(value, tuple) for value in found):
        values = [_voc_colour(number) for number in values]
    grey = {colour[0] for colour in values if isinstance(colour, tuple) and len(set(colour)) == 1}
    fits = all(value in (*values, *grey, VOID, _BORDER) for value in found)
    return Table(_VOC, values) if fits else Table()


def _voc_colour(number: int) -> tuple[int, int, int]:
    red, green, blue = (
        sum((number >> 3 * i + channel & 1) << 7 - i for i in range(3)) for channel in range(3)
    )
    return red, green, blue


def read(tree: Tree) -> Table:
    """The first description of classes that the tree has."""
    for file in tree.files:
        name = file.name.lower()
        if name == 'labelmap.txt':
            return _labelmap(read_text(file))
        if name in ('label_colors.txt', 'label_colours.txt'):
            return _colours(read_text(file))
        if file.suffix.lower() == '.csv' and (table := _from_csv(read_text(file))).names:
            return table
    for file in tree.files:
        if file.name.lower() in _LISTS:
            lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
            if lines and lines[0] == '__ignore__':  # LabelMe counts it as -1, saved as 255
                lines = lines[1:]
            return Table(lines, file=file)
    return Table()


def _labelmap(text: str) -> Table:
    """CVAT's: ``label:r,g,b:parts:actions``."""
    table = Table()
    for line in text.splitlines():
        parts = line.split(':')
        if line.startswith('#') or len(parts) < 2 or not re.fullmatch(r'\d+,\d+,\d+', parts[1]):
            continue
        table.names.append(parts[0].strip())
        table.values.append(tuple(int(n) for n in parts[1].split(',')))
    return table


def _colours(text: str) -> Table:
    """CamVid's: ``r g b  name``."""
    table = Table()
    for line in text.splitlines():
        if found := re.match(r'\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)', line):
            table.names.append(found[4].strip())
            table.values.append(tuple(int(n) for n in found.groups()[:3]))
    return table


def _from_csv(text: str) -> Table:
    """A table with name, r, g, b, or (Roboflow) Pixel Value, Class."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    head = [cell.lower() for cell in rows[0]] if rows else []
    table = Table()
    for row in rows[1:]:
        if len(head) >= 4 and head[1:4] == ['r', 'g', 'b'] and all(c.isdigit() for c in row[1:4]):
            table.names.append(row[0])
            table.values.append(tuple(int(n) for n in row[1:4]))
        elif head[:2] == ['pixel value', 'class'] and row[0].isdigit():
            table.names.append(row[1])
            table.values.append(int(row[0]))
    return table


def match(
    data: DataSet, found: Counter, table: Table, void: int | None = None
) -> tuple[list[str], dict[Any, int]]:
    """Classes, and the index of each number or colour that occurs.

    Args:
        data: counts the pixels of no class.
        found: pixels by number or colour.
        table: from the description files.
        void: number that is not a class.
    """
    if void is not None:
        names, own = match(data, Counter({v: n for v, n in found.items() if v != void}), table)
        data.changed.add(f'pixels of {void}, set to {VOID} (ignored)', '--void', found[void])
        return names, {**own, void: VOID}
    if table.values:
        return _by_values(data, found, table)
    numbers = sorted(value for value in found if not isinstance(value, tuple))
    colours = sorted(value for value in found if isinstance(value, tuple))
    if colours:
        order = [(n, n, n) for n in numbers if n != VOID or (0, 0, 0) in colours] + colours
        order = sorted(set(order) - {_BORDER})
        names = table.names if len(table.names) == len(order) else []
        names = names or ['colour_{}_{}_{}'.format(*colour) for colour in order]
        own = {colour: i for i, colour in enumerate(order)}
        own.update({c[0]: i for c, i in own.items() if len(set(c)) == 1 and c[0] in numbers})
        return names, own
    if set(numbers) == {0, VOID}:
        names = _two_names(table.names)
        data.changed.add('label maps of 0 and 255, converted to 0 and 1', 'all of them')
        return names, {0: 0, VOID: 1}
    return _by_numbers(data, found, [n for n in numbers if n != VOID], table)


def _two_names(names: list[str]) -> list[str]:
    if len(names) == 2:
        return names
    return ['background', names[0]] if len(names) == 1 else ['background', 'foreground']


def _by_values(data: DataSet, found: Counter, table: Table) -> tuple[list[str], dict[Any, int]]:
    kept = [i for i, name in enumerate(table.names) if not _IGNORE.match(name)]
    names = list(dict.fromkeys(table.names[i] for i in kept))
    own = {table.values[i]: names.index(table.names[i]) for i in kept}
    own.update({v[0]: i for v, i in own.items() if isinstance(v, tuple) and len(set(v)) == 1})
    if table.values and not isinstance(table.values[0], tuple):
        own = {v: i for v, i in own.items() if not isinstance(v, tuple)}
    _count_rest(data, found, own)
    if _IDS[0] in own and len(own) == len(_IDS):
        return names, own
    return names, {v: i for v, i in own.items() if v in found or not isinstance(v, tuple)}


def _by_numbers(
    data: DataSet, found: Counter, numbers: list[int], table: Table
) -> tuple[list[str], dict[Any, int]]:
    names = table.names
    count = len(names)
    if not names and numbers == list(range(max(numbers, default=-1) + 1)):
        return [f'class_{n}' for n in numbers], {n: n for n in numbers}
    if not names:
        data.changed.add('label maps with gaps between their numbers, renumbered', numbers[:9])
        return [f'label_{n}' for n in numbers], {n: i for i, n in enumerate(numbers)}
    if numbers and 0 in numbers and count in numbers and not any(map(_BACKGROUND.match, names)):
        share = found[0] / sum(found.values())
        if share > _MOSTLY and not any(map(_SURROUNDINGS.search, names)):
            what = f'label maps whose 0, {share:.0%} of the pixels, has no name: named "background"'
            data.changed.add(
                f'{what}; if 0 is {names[0]!r} and {count} is void, add --void {count}', table.file
            )
            names = ['background', *names]
        else:
            what = f'label maps whose {count} is beyond the last of {count} names: void, ignored'
            data.changed.add(
                f'{what}; if 0 is a background, add it as the first line of the names', table.file
            )
    elif numbers and numbers[0] >= 1 and count in numbers:
        data.changed.add(
            'label maps that count from 1, converted to count from 0', f'{count} names'
        )
        return names, {i + 1: i for i in range(count)}
    void = [i for i, name in enumerate(names) if _IGNORE.match(name)]
    if len(names) - len(void) < 2:
        void = []
    kept = [i for i in range(len(names)) if i not in void]
    own = {number: i for i, number in enumerate(kept)}
    _count_rest(data, found, own)
    return [names[i] for i in kept], own


def _count_rest(data: DataSet, found: Counter, own: dict[Any, int]) -> None:
    rest = {v: n for v, n in found.items() if v not in own and v not in (VOID, _BORDER)}
    own.update(dict.fromkeys(rest, VOID))
    if len(rest) > _LISTED:
        what = f'pixels of {len(rest)} numbers or colours that are not classes'
        rest_of = {f'{what}, set to {VOID} (ignored)': sum(rest.values())}
    else:
        rest_of = {
            f'pixels of {value}, which is not a class, set to {VOID} (ignored)': pixels
            for value, pixels in rest.items()
        }
    for what, pixels in rest_of.items():
        data.changed.add(what, 'all label maps', pixels)
