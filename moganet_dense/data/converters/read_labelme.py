"""LabelMe: a JSON file per image with ``shapes`` (https://github.com/wkentaro/labelme).

Polygons, rectangles, circles, rotated rectangles and masks are instances; shapes of one label and
one ``group_id`` are parts of one instance. Points are keypoints, of the shape of their group or
of the whole image. Lines have no area and are skipped.
"""

import base64
import math
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..annotations import is_number
from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, read_json, split_named
from .instances import add, image_beside, list_missing, open_sample

NAME = 'LabelMe'


def find(tree: Tree) -> list[Path]:
    """JSON files with ``shapes`` and ``imagePath``."""
    files = tree.ending('.json')
    return files if any(_content(file) for file in files[:20]) else []


def _content(file: Path) -> dict[str, Any] | None:
    content = read_json(file)
    fits = isinstance(content, dict) and isinstance(content.get('shapes'), list)
    return content if fits and 'imagePath' in content else None


def read(tree: Tree, files: list[Path]) -> DataSet:
    """All files of the format."""
    data = DataSet(NAME)
    found = [(file, content) for file in files if (content := _content(file))]
    for file, content in found:
        content['shapes'] = list(_labelled(data, content['shapes'], file))
    shapes = [shape for _, content in found for shape in content['shapes']]
    areas = [shape for shape in shapes if shape.get('shape_type', 'polygon') != 'point']
    points = [str(s.get('label', '')).strip() for s in shapes if s.get('shape_type') == 'point']
    data.keypoints = sorted(dict.fromkeys(points))
    for file, content in found:
        stated = str(content['imagePath'])
        image = image_beside(data, tree, stated, file)
        if image is None:
            if content.get('imageData'):
                stated += ' (its pixels are in the JSON file: export it as an image)'
            list_missing(data, tree, stated, file, len(content['shapes']))
            continue
        size = (content.get('imageWidth'), content.get('imageHeight'))
        if sample := open_sample(data, tree, image, size, file):
            sample.split = split_named(file, tree.root)
            data.samples.append(sample)
            _add_shapes(data, sample, content['shapes'], file, bool(areas))
    data.classes.sort()
    return data


def _labelled(data: DataSet, shapes: list, file: Path) -> Iterator[dict]:
    """Shapes with a label; others are counted."""
    for i, shape in enumerate(shapes):
        if not isinstance(shape, dict):
            data.left_out.add('shapes that are no objects', f'{file}, shape {i}')
        elif not str(shape.get('label') or '').strip():
            data.left_out.add('shapes without a label', f'{file}, shape {i}')
        else:
            yield shape


def _add_shapes(data: DataSet, sample: Sample, shapes: list, file: Path, areas: bool) -> None:
    """Instances of one image: one per group, and one per shape without a group."""
    groups: dict[Any, list[tuple[str, dict]]] = defaultdict(list)
    loose: list[tuple[str, dict]] = []
    for i, shape in enumerate(shapes):
        where, group = f'{file}, shape {i}', shape.get('group_id')
        if shape.get('shape_type') == 'point' and (group is not None or not areas):
            groups[group].append((where, shape))
        elif shape.get('shape_type') == 'point':
            loose.append((where, shape))
        else:
            key = (group, str(shape.get('label'))) if group is not None else ('alone', i)
            groups[key if group is None else group].append((where, shape))
    only = [key for key in groups if any(s.get('shape_type') != 'point' for _, s in groups[key])]
    for where, shape in loose:  # only one instance in the image: the points belong to it
        if len(only) == 1:
            groups[only[0]].append((where, shape))
        else:
            data.left_out.add('points without a group_id among several shapes', where)
    for members in groups.values():
        _add_group(data, sample, members)


def _add_group(data: DataSet, sample: Sample, members: list[tuple[str, dict]]) -> None:
    by_label: dict[str, Instance] = {}
    points: list[tuple[str, dict]] = []
    for where, shape in members:
        if shape.get('shape_type') == 'point':
            points.append((where, shape))
            continue
        label = str(shape.get('label', '')).strip()
        one = by_label.setdefault(label, Instance(label))
        if shape.get('difficult') is True and not one.crowd:  # X-AnyLabeling
            one.crowd = True
            data.changed.add('objects marked difficult: kept as regions to ignore', where)
        _add_area(data, sample, one, shape, where)
    if points:
        instance = next(iter(by_label.values()), None) or by_label.setdefault(
            'object', Instance('object')
        )
        instance.keypoints = _keypoints(data, points)
    for one in by_label.values():
        if one.polygons:
            hull = geometry.hull(one.polygons)
            one.box = (one.box and _around(one.box, hull)) or hull
        if not (one.box or one.runs or one.keypoints):
            continue  # counted where its shape was read
        if add(data, sample, one, members[0][0]):
            one.label = data.class_of(one.label)


def _around(a: tuple, b: tuple) -> tuple[float, float, float, float]:
    x1, y1 = min(a[0], b[0]), min(a[1], b[1])
    x2, y2 = max(a[0] + a[2], b[0] + b[2]), max(a[1] + a[3], b[1] + b[3])
    return x1, y1, x2 - x1, y2 - y1


def _keypoints(data: DataSet, points: list[tuple[str, dict]]) -> list[float]:
    values = [0.0] * (3 * len(data.keypoints))
    for where, shape in points:
        found = _points(shape)
        if not found:
            data.left_out.add('shapes whose points are not finite numbers', where)
            continue
        i = 3 * data.keypoints.index(str(shape.get('label', '')).strip())
        if values[i + 2]:
            data.left_out.add('points whose name occurs twice in their group', where)
            continue
        hidden = (shape.get('flags') or {}).get('occluded')
        values[i : i + 3] = [*found[0], 1.0 if hidden else 2.0]
    return values


def _points(shape: dict) -> list[tuple[float, float]]:
    points = shape.get('points')
    sound = isinstance(points, list) and all(
        isinstance(p, list) and len(p) == 2 and all(map(is_number, p)) for p in points
    )
    return [(float(x), float(y)) for x, y in points] if sound else []


def _add_area(data: DataSet, sample: Sample, one: Instance, shape: dict, where: str) -> None:
    kind, points = shape.get('shape_type') or 'polygon', _points(shape)
    if not points:
        data.left_out.add('shapes whose points are not finite numbers', where)
    elif kind in ('polygon', 'oriented_rectangle', 'rotation') and len(points) >= 3:
        one.polygons.append([n for point in points for n in point])
    elif kind == 'rectangle' and len(points) in (2, 4):
        box = geometry.hull([[n for point in points for n in point]])
        one.box = _around(one.box, box) if one.box else box
    elif kind == 'circle' and len(points) == 2:
        (cx, cy), edge = points
        radius = math.dist((cx, cy), edge)
        one.polygons.append(geometry.ellipse(cx, cy, radius, radius))
    elif kind == 'mask' and shape.get('mask'):
        _add_mask(data, sample, one, shape['mask'], points[0], where)
    else:
        data.left_out.add(f'shapes of type {kind} with {len(points)} points', where)


def _add_mask(
    data: DataSet, sample: Sample, one: Instance, text: str, corner: tuple, where: str
) -> None:
    """A PNG in base64, placed with its top left pixel at a corner."""
    try:
        with Image.open(BytesIO(base64.b64decode(text))) as image:
            if any(side > 2 * whole for side, whole in zip(image.size, sample.size, strict=True)):
                raise ValueError('a mask of {} x {}'.format(*image.size))
            patch = np.asarray(image.convert('L')) > 0
    except Exception as error:  # Pillow raises many kinds
        data.left_out.add('masks that cannot be read', f'{where}: {error}')
        return
    whole = geometry.mask_of(one.runs) if one.runs else np.zeros(sample.size[::-1], bool)
    x, y = (max(0, round(n)) for n in corner)
    part = whole[y : y + patch.shape[0], x : x + patch.shape[1]]
    part |= patch[: part.shape[0], : part.shape[1]]
    one.runs = geometry.runs_of(whole)
