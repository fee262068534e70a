"""Pascal VOC: an XML file per image, next to it or in ``Annotations``.

The development kit counts pixels from 1 and names the first and the last of a box, so its box is
from ``xmin - 1`` to ``xmax``
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html). Tools that write 0
anywhere count from 0 and store the edges: then the numbers are used unchanged. ``difficult``
objects become regions to ignore, as in the toolboxes. Roboflow adds ``polygon``, CVAT
``robndbox``.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from ...utils.errors import UserError
from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, read_text, read_xml, split_named
from .instances import add, image_beside, list_missing, open_sample

NAME = 'Pascal VOC'


def find(tree: Tree) -> list[Path]:
    """XML files whose root is ``annotation``."""
    files = tree.ending('.xml')
    return files if any(_is_voc(file) for file in files[:20]) else []


def _is_voc(file: Path) -> bool:
    with file.open('rb') as stream:
        start = stream.read(1024)
    return re.search(rb'<annotation[\s>]', start) is not None


def read(tree: Tree, files: list[Path]) -> DataSet:
    """All XML files of the tree; ``ImageSets/Main`` defines the splits if it exists."""
    data = DataSet(NAME)
    roots = []
    for file in files:
        try:
            root = read_xml(file)
        except UserError as error:
            data.left_out.add('annotation files that cannot be read', str(error))
            continue
        if root.tag == 'annotation':
            roots.append((file, root))
    origin = 0.0 if _counts_from_zero(root for _, root in roots) else 1.0
    splits = image_sets(tree)
    for file, root in roots:
        stated = _text(root, 'filename') or file.with_suffix('.jpg').name
        image = image_beside(data, tree, stated, file)
        objects = root.findall('object')
        if image is None:
            list_missing(data, tree, stated, file, len(objects))
            continue
        size = (root.findtext('size/width'), root.findtext('size/height'))
        sample = open_sample(data, tree, image, size, file)
        if sample is None:
            continue
        sample.split = splits.get(file.stem) or split_named(file, tree.root)
        data.samples.append(sample)
        for i, one in enumerate(objects, 1):
            _add_object(data, sample, one, origin, f'{file}, object {i}')
    data.classes.sort()
    return data


def _text(node: Element, path: str) -> str:
    return (node.findtext(path) or '').strip()


def _counts_from_zero(roots: Iterator[Element]) -> bool:
    """Whether a left or top edge is below 1 anywhere."""
    return any(
        (number := _number(box.findtext(name))) is not None and number < 1
        for root in roots
        for box in root.iter('bndbox')
        for name in ('xmin', 'ymin')
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text or '')
    except ValueError:
        return None


def image_sets(tree: Tree, folder: str = 'Main') -> dict[str, str]:
    """Split by name, from a folder of ImageSets, or all if it has no such; trainval alone defines
    none.

    Args:
        tree: the data set's files.
        folder: Main, or Segmentation.
    """
    found: dict[str, str] = {}
    lists = [f for f in tree.ending('.txt') if 'ImageSets' in f.relative_to(tree.root.parent).parts]
    lists = [f for f in lists if f.parent.name == folder] or lists
    for split in ('test', 'val', 'train'):
        for file in lists:
            if file.name.lower() == f'{split}.txt':
                for line in read_text(file).splitlines():
                    if words := line.split():
                        found[Path(words[0]).stem if '.' in words[0] else words[0]] = split
    return found


def _add_object(data: DataSet, sample: Sample, node: Element, origin: float, where: str) -> None:
    name = _text(node, 'name')
    if not name:
        data.left_out.add('objects without a name', where)
        return
    if more := len(node.findall('name')) - 1:
        data.left_out.add('further names of an object', where, more)
    if parts := len(node.findall('part')):
        data.left_out.add('parts of objects', where, parts)
    crowd = _text(node, 'difficult') not in ('', '0')
    one = Instance(name, crowd=crowd)
    if (turned := node.find('robndbox')) is not None:
        numbers = [_number(turned.findtext(key)) for key in ('cx', 'cy', 'w', 'h', 'angle')]
        if None not in numbers:
            cx, cy, w, h, angle = numbers
            box = (cx - w / 2, cy - h / 2, w, h)
            outline = geometry.rotated(box, math.degrees(angle))
            one.polygons, one.box = [outline], geometry.hull([outline])
            data.changed.add('rotated boxes: replaced by the axis-aligned box around each', where)
    elif (box := node.find('bndbox')) is not None:
        numbers = [_number(box.findtext(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        if None in numbers:
            data.left_out.add('objects whose box is not four numbers', where)
            return
        x1, y1, x2, y2 = numbers
        if x1 > x2 or y1 > y2:
            data.changed.add('boxes whose corners are swapped', where)
            (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
        one.box = (x1 - origin, y1 - origin, x2 - x1 + origin, y2 - y1 + origin)
        one.polygons = [outline] if (outline := _outline(node)) else []
    elif outline := _points(node):
        one.polygons = [outline]
    if crowd:
        data.changed.add('objects marked difficult: kept as regions to ignore', where)
    if add(data, sample, one, where):
        one.label = data.class_of(name)


def _points(node: Element) -> list[float]:
    """The outline of LabelMe's web tool: ``<pt><x>1</x><y>2</y></pt>``, counted from 0."""
    numbers = [_number(pt.findtext(k)) for pt in node.iterfind('polygon/pt') for k in ('x', 'y')]
    return [] if None in numbers else [float(number or 0) for number in numbers]


def _outline(node: Element) -> list[float]:
    """Roboflow's polygon: x1, y1, x2, y2, ... as elements of these names."""
    values = {child.tag: _number(child.text) for child in node.iterfind('polygon/*')}
    outline: list[float] = []
    for i in range(1, len(values) // 2 + 1):
        x, y = values.get(f'x{i}'), values.get(f'y{i}')
        if x is None or y is None:
            return []
        outline += [x, y]
    return outline
