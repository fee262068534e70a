"""DOTA: a text file per image, with a line for the four corners of each object in pixels, its class
and whether it is difficult (https://captain-whu.github.io/DOTA/dataset.html).

``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``; the first lines may name the source and the resolution.
"""

import math
import re
from pathlib import Path

from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, read_text, split_named
from .instances import add, list_missing, open_sample

NAME = 'DOTA'
_HEAD = re.compile(r'^(imagesource|gsd)\s*:', re.IGNORECASE)
_ROW = re.compile(r'^(?:[-+\d.eE]+[\s,]+){8}[A-Za-z][\w-]*(?:[\s,]+\d)?$')
_LOOKED_AT = 20
"""Files of which one has to be of the format."""


def find(tree: Tree) -> list[Path]:
    """Text files with lines of eight numbers and a name."""
    files = tree.ending('.txt')
    folders = {file.parent for file in files[:_LOOKED_AT] if _is_dota(file)}
    return [file for file in files if file.parent in folders or _is_dota(file)] if folders else []


def _is_dota(file: Path) -> bool:
    with file.open('rb') as stream:
        lines = stream.read(4096).decode('utf-8', errors='replace').splitlines()
    rows = [line.strip() for line in lines if line.strip() and not _HEAD.match(line.strip())]
    return bool(rows) and _ROW.match(rows[0]) is not None


def read(tree: Tree, files: list[Path]) -> DataSet:
    """All files; of copies of the annotations, such as labelTxt-v1.0 and v1.5, the last is used."""
    data = DataSet(NAME)
    samples: dict[Path, Sample] = {}
    for file in files:
        lines = [line.strip() for line in read_text(file).splitlines()]
        rows = [(i, line) for i, line in enumerate(lines, 1) if line and not _HEAD.match(line)]
        image = tree.same_stem(file.stem, file)
        if image is None:
            list_missing(data, tree, file.stem, file, len(rows))
            continue
        sample = open_sample(data, tree, image)
        if sample is None:
            continue
        sample.split = split_named(image, tree.root) or split_named(file, tree.root)
        if image in samples:
            data.changed.add('images with several annotation files, the last is used', file)
        samples[image] = sample
        for i, line in rows:
            _add_row(data, sample, line, f'{file}, line {i}')
    data.samples = list(samples.values())
    used = {one.label for sample in data.samples for one in sample.instances}
    data.classes = sorted(name for name in data.classes if name in used)
    return data


def _add_row(data: DataSet, sample: Sample, line: str, where: str) -> None:
    words = re.split(r'[\s,]+', line)
    try:
        corners = [float(word) for word in words[:8]]
    except ValueError:
        corners = []
    if len(words) not in (9, 10) or not all(map(math.isfinite, corners)) or len(corners) != 8:
        data.left_out.add('lines that are not eight numbers, a class and a digit', where)
        return
    crowd = words[9:] not in ([], ['0'])
    one = Instance(words[8], geometry.hull([corners]), [corners], crowd=crowd)
    if crowd:
        data.changed.add('objects marked difficult: kept as regions to ignore', where)
    if add(data, sample, one, where):
        one.label = data.class_of(one.label)
