"""COCO JSON, with the peculiarities of the tools that export it.

Roboflow: ``train/_annotations.coco.json`` beside the images, annotation ids from 0, and a root
category, the supercategory of all others, that no annotation has. CVAT: ``annotations/
instances_default.json``, ``attributes.rotation`` of rotated boxes, masks as uncompressed run
lengths with ``iscrowd=1``. Label Studio: ``result.json``, category ids from 0, file names with
backslashes or of its upload folder, width and height before the EXIF rotation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..annotations import decode_runs, is_number
from . import geometry
from .dataset import DataSet, Instance, Layout, Sample
from .files import Tree, read_json, split_named
from .instances import add, find_image, list_missing, open_sample, visibilities

NAME = 'COCO'
_PARTS = ('images', 'annotations', 'categories')
_OF_CVAT = ('rotation', 'occluded', 'track_id', 'keyframe')
"""Attributes that CVAT writes for every annotation; others are the user's."""


PANOPTIC = 'segments_info'
"""Key of the annotations in panoptic files, which read_panoptic.py reads."""


def find(tree: Tree) -> list[Path]:
    """The annotation files: JSON with images, annotations and categories."""
    return coco_files(tree)


def coco_files(tree: Tree, panoptic: bool = False) -> list[Path]:
    """COCO's JSON files of a tree: either the panoptic ones or the others."""
    kind = PANOPTIC if panoptic else NAME
    return [f for f in tree.ending('.json') if _kind(f, f.stat().st_mtime_ns) == kind]


@lru_cache(maxsize=64)
def _kind(file: Path, changed: int) -> str:
    """NAME, PANOPTIC or '': what a JSON file is; read once for the readers of both."""
    with file.open('rb') as stream:
        start = stream.read(4096).lstrip(b'\xef\xbb\xbf \r\n\t')
    keys = (*_PARTS, 'info', 'licenses')
    if not start.startswith(b'{') or not any(f'"{key}"'.encode() in start for key in keys):
        return ''
    content = read_json(file)
    if not all(isinstance(content.get(part), list) for part in _PARTS):
        return ''
    rows = (row for row in content['annotations'] if isinstance(row, dict))
    return PANOPTIC if any(PANOPTIC in row for row in rows) else NAME


def read(tree: Tree, files: Iterable[Path]) -> DataSet:
    """All annotation files; files of one split are merged by the names of images and classes."""
    data = DataSet(NAME)
    contents = [(file, _objects(data, read_json(file), file)) for file in files]
    _take_layouts(data, contents)
    samples: dict[Path, Sample] = {}
    for file, content in contents:
        names = class_names(data, content['categories'], content['annotations'], file)
        rows = by_image(content['annotations'])
        split = split_named(file, tree.root)
        listed = set()
        for image in content['images']:
            key = id_of(image.get('id'))
            listed.add(key)
            own = rows.get(key, [])
            sample = _sample(data, tree, image, file, len(own))
            if sample is None:
                continue
            sample = samples.setdefault(sample.file, sample)
            if sample.split and split and sample.split != split:
                what = 'images that are listed for two splits, used for the first'
                data.changed.add(what, f'{sample.file}: {sample.split}, {split}')
            sample.split = sample.split or split
            earlier = len(sample.instances)
            for row in own:
                _add_row(data, sample, row, names, file)
            _merge(data, sample, earlier, file)
        for key in rows.keys() - listed:
            what = 'annotations whose image_id is not in the file'
            data.left_out.add(what, f'{file}: image_id {key}', len(rows[key]))
    data.samples = list(samples.values())
    _use_layout(data)
    return data


def _use_layout(data: DataSet) -> None:
    """Takes the layout of the first class with keypoints, until a class is chosen."""
    used = {one.label for sample in data.samples for one in sample.instances if one.keypoints}
    data.use_layout(next((label for label in data.layouts if label in used), None))


def _objects(data: DataSet, content: dict, file: Path) -> dict[str, list[dict]]:
    """The rows of each part that are objects."""
    for part in _PARTS:
        if others := [row for row in content[part] if not isinstance(row, dict)]:
            data.left_out.add(f'rows of {part} that are no objects', file, len(others))
    return {part: [row for row in content[part] if isinstance(row, dict)] for part in _PARTS}


def _merge(data: DataSet, sample: Sample, earlier: int, file: Path) -> None:
    """Merges the annotations of a file with equal ones of the files before: COCO's instances and
    person_keypoints have each person in both."""
    kept, added = sample.instances[:earlier], sample.instances[earlier:]
    for one in added:
        same = next((o for o in kept[:earlier] if (o.label, o.box) == (one.label, one.box)), None)
        if same is None:
            kept.append(one)
            continue
        same.keypoints = same.keypoints or one.keypoints
        if not (same.polygons or same.runs):
            same.polygons, same.runs = one.polygons, one.runs
        data.changed.add('annotations that several files have, merged', f'{file}, {sample.file}')
    sample.instances = kept


def _take_layouts(data: DataSet, contents: list[tuple[Path, dict]]) -> None:
    """Takes keypoint names and skeletons from the categories that have them, each its own."""
    for _, content in contents:
        for category in content['categories']:
            label = str(category.get('name', '')).strip()
            names = category.get('keypoints')
            names = names.split(',') if isinstance(names, str) else names
            if isinstance(names, list) and names and label not in data.layouts:
                links = list(_links(data, category.get('skeleton'), len(names)))
                data.layouts[label] = Layout([str(name).strip() for name in names], links)


def _links(data: DataSet, links: Any, count: int) -> Iterator[tuple[int, int]]:
    """Pairs of keypoints, from 0 on, of pairs from 1 on."""
    known = range(1, count + 1)
    for link in links if isinstance(links, list) else ():
        pair = isinstance(link, list) and len(link) == 2 and all(type(n) is int for n in link)
        if pair and link[0] in known and link[1] in known:
            yield link[0] - 1, link[1] - 1
        elif not pair or min(link) >= 1:  # some exports fill up with 0
            data.left_out.add('links of the skeleton between keypoints that are none', link)


def class_names(
    data: DataSet, categories: Sequence[dict], rows: Iterable[dict], file: Path
) -> dict[str, str]:
    """Names by category id, of the annotations ``rows``. Ids are compared as text: some exports
    write them so."""
    used = Counter(id_of(row.get('category_id')) for row in rows)
    parents = {str(c.get('supercategory', '')).strip() for c in categories}
    stated = Counter(str(c.get('name', '')).strip() for c in categories)
    names: dict[str, str] = {}
    for category in categories:
        key, name = id_of(category.get('id')), str(category.get('name', '')).strip()
        root = category.get('supercategory') in ('none', None, '')
        if not used[key] and ((root and name in parents) or stated[name] > 1):
            data.changed.add('root categories without an annotation, skipped', f'{name!r}, {file}')
            continue
        name = name or f'class_{key}'
        if name in names.values():
            data.changed.add('categories of one name, merged', f'{name!r}, {file}')
        names[key] = data.class_of(name)
    return names


def id_of(value: Any) -> str:
    """An id as text; 1, 1.0 and "1" are the same."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def by_image(rows: Iterable[dict]) -> dict[str, list[dict]]:
    """Annotations by the id of their image, as text."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(id_of(row.get('image_id')), []).append(row)
    return found


def _sample(data: DataSet, tree: Tree, image: dict, file: Path, rows: int) -> Sample | None:
    stated = str(image.get('file_name') or image.get('coco_url') or '')
    found = find_image(data, tree, stated, file)
    if found is None:
        list_missing(data, tree, stated, file, rows)
        return None
    return open_sample(data, tree, found, (image.get('width'), image.get('height')), file)


def _add_row(data: DataSet, sample: Sample, row: dict, names: dict[str, str], file: Path) -> None:
    where = f'id {row.get("id")!r} of {file}'
    label = names.get(id_of(row.get('category_id')))
    if label is None:
        data.left_out.add('annotations whose category_id is not in the file', where)
        return
    if row.get('ignore'):
        data.left_out.add('annotations marked ignore', where)
        return
    one = Instance(label, crowd=bool(row.get('iscrowd')))
    if isinstance(row.get('bbox'), list) and len(row['bbox']) == 4:
        one.box = tuple(_numbers(data, row['bbox'], where))  # type: ignore[assignment]
    _take_mask(data, one, row, sample, where)
    _turn(data, one, row, where)
    _take_keypoints(data, one, row, where)
    if is_number(row.get('area')) and row['area'] > 0:
        one.area = float(row['area'])
    add(data, sample, one, where)


def _take_mask(data: DataSet, one: Instance, row: dict, sample: Sample, where: str) -> None:
    found = row.get('segmentation')
    if isinstance(found, dict):
        counts = found.get('counts')
        lengths = counts if isinstance(counts, list) else decode_runs(counts)
        sound = lengths is not None and all(type(n) is int and n >= 0 for n in lengths)
        if not sound or found.get('size') != [sample.size[1], sample.size[0]] or (
            sum(lengths) != sample.size[0] * sample.size[1]
        ):  # fmt: skip
            data.left_out.add('masks whose run lengths do not fit their image', where)
            return
        one.runs = dict(size=found['size'], counts=lengths)
        if one.crowd and one.box and geometry.box_of_mask(geometry.mask_of(one.runs)):
            data.changed.add('masks with iscrowd=1: kept as regions to ignore', where)
    elif isinstance(found, list) and found:
        flat = not any(isinstance(part, list) for part in found)
        outlines = [found] if flat or _are_points(found) else found
        one.polygons = [list(_numbers(data, outline, where)) for outline in outlines]


def _are_points(values: list) -> bool:
    return all(isinstance(part, list) and len(part) == 2 for part in values) and not any(
        isinstance(number, list) for part in values for number in part
    )


def _numbers(data: DataSet, values: Any, where: str) -> Iterator[float]:
    """Numbers of a list, or of a list of points; texts of numbers are counted."""
    for value in values if isinstance(values, list) else ():
        if isinstance(value, list):
            yield from _numbers(data, value, where)
        elif isinstance(value, str) and (number := _of_text(value)) is not None:
            data.changed.add('numbers written as text, read as numbers', where)
            yield number
        else:
            yield float(value) if is_number(value) else float('nan')


def _of_text(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _turn(data: DataSet, one: Instance, row: dict, where: str) -> None:
    """A box that CVAT rotated: the axis-aligned box around it, and its outline."""
    attributes = row.get('attributes')
    attributes = attributes if isinstance(attributes, dict) else {}
    for name in attributes.keys() - _OF_CVAT:
        data.left_out.add(f'attributes {name[:50]!r} of annotations, not used', where)
    degrees = attributes.get('rotation')
    if not is_number(degrees) or not degrees % 360 or one.box is None or one.polygons:
        return
    outline = geometry.rotated(one.box, degrees)
    one.polygons, one.box = [outline], geometry.hull([outline])
    data.changed.add('rotated boxes: replaced by the axis-aligned box around each', where)


def _take_keypoints(data: DataSet, one: Instance, row: dict, where: str) -> None:
    values = list(_numbers(data, row.get('keypoints'), where))
    if not values:
        return
    unnamed = [f'keypoint_{i}' for i in range(len(values) // 3)]
    count = len(data.layouts.setdefault(one.label, Layout(unnamed)).names)
    if len(values) != 3 * count or not all(map(is_number, values)):
        what = f'annotations whose keypoints are not {count} times x, y, visibility'
        data.left_out.add(what, where)
        return
    one.keypoints = visibilities(data, values, where)
