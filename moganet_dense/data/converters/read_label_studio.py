"""Label Studio's JSON and JSON-MIN (https://labelstud.io/guide/export).

Regions are in percent of the image. ``from_name``, ``parentID`` and similar keys link keypoints to
the rectangle or polygon that they were drawn in. Of several annotations of a task the one marked as
ground truth is used, or else the first that was not cancelled.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..sources import IMAGE_SUFFIXES, UNREAD_IMAGES
from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, path_of, read_json, split_named
from .instances import add, find_image, list_missing, open_sample

NAME = 'Label Studio JSON'
_LABELS = ('rectanglelabels', 'polygonlabels', 'brushlabels', 'ellipselabels', 'keypointlabels',
           'labels')  # fmt: skip


def find(tree: Tree) -> list[Path]:
    """JSON files of tasks."""
    return [file for file in tree.ending('.json') if any(map(_image_of, _tasks(file)))]


def _tasks(file: Path) -> list[dict]:
    """The tasks of a file: a list of them, one alone, or an annotation with its task, as Label
    Studio writes to a storage."""
    with file.open('rb') as stream:
        start = stream.read(4096).lstrip(b'\xef\xbb\xbf \r\n\t')
    if not start.startswith(b'[') and not re.search(rb'"(data|task|result)"', start):
        return []
    content = read_json(file)
    if isinstance(content, dict):
        if isinstance(content.get('task'), dict) and isinstance(content.get('result'), list):
            content = {**content['task'], 'annotations': [content]}
        content = [content] if isinstance(content.get('data'), dict) else []
    return [task for task in content if isinstance(task, dict)]


def _image_of(task: dict) -> str | None:
    """The path or URL of a task's image: of ``data`` (JSON), or beside the labels (JSON-MIN)."""
    if isinstance(task.get('data'), dict):
        texts = [task.get('file_upload'), *task['data'].values()]
    elif 'annotation_id' in task or 'annotator' in task or 'lead_time' in task:
        texts = [v for k, v in task.items() if k not in ('created_at', 'updated_at')]
    else:
        return None
    endings = tuple(IMAGE_SUFFIXES | UNREAD_IMAGES)
    stated = (text for text in texts if isinstance(text, str))
    return next((text for text in stated if path_of(text).lower().endswith(endings)), None)


def read(tree: Tree, files: list[Path]) -> DataSet:
    """All files of the format."""
    data = DataSet(NAME)
    tasks = [(file, task) for file in files for task in _tasks(file)]
    found = [(file, task, list(_results(data, file, task))) for file, task in tasks]
    points = [
        _label(region)
        for _, _, regions in found
        for region in regions
        if _label(region) and 'keypointlabels' in _value(region)
    ]
    data.keypoints = sorted({label for label in points if label})
    for file, task, regions in found:
        _add_task(data, tree, file, task, regions)
    data.classes.sort()
    return data


def _results(data: DataSet, file: Path, task: dict) -> Iterator[dict]:
    """Regions of a task."""
    if 'annotations' not in task and 'completions' not in task:
        where = f'{file}, task {task.get("id")}'
        for rows in [_rows_of(data, value, where) for value in task.values()]:
            if isinstance(rows, list):
                kept = (row for row in rows if isinstance(row, dict))
                yield from (row for row in kept if row.keys() & {'x', 'points', 'rle'})
        return
    where = f'{file}, task {task.get("id")}'
    rows = task.get('annotations', task.get('completions')) or []
    kept = [one for one in rows if isinstance(one, dict) and not one.get('was_cancelled')]
    kept.sort(key=lambda one: not one.get('ground_truth'))  # stable: else the first
    if not kept:
        what = 'tasks without annotations: kept as images without objects'
        if any(one.get('result') for one in task.get('predictions') or []):
            what = 'tasks with predictions alone, not used: submit them as annotations to use them'
        data.left_out.add(what, where)
        return
    if len(kept) > 1:
        what = 'annotations of another annotator of the same image'
        data.left_out.add(what, where, len(kept) - 1)
    result = _rows_of(data, kept[0].get('result'), where)
    yield from (row for row in result if isinstance(row, dict)) if isinstance(result, list) else ()


def _rows_of(data: DataSet, value: Any, where: str) -> Any:
    """The regions of a value, which may be their JSON as a text."""
    if not (isinstance(value, str) and re.match(r'\s*\[\s*[{"]', value)):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        data.left_out.add('labels in a text that is no JSON', where)
        return None


def _value(region: dict) -> dict:
    value = region.get('value', region)
    return value if isinstance(value, dict) else {}


def _label_key(region: dict) -> str:
    value = _value(region)
    return next((key for key in _LABELS if value.get(key)), '')


def _label(region: dict) -> str | None:
    labels = _value(region).get(_label_key(region))
    return str(labels[0]).strip() if isinstance(labels, list) and labels else None


def _add_task(data: DataSet, tree: Tree, file: Path, task: dict, regions: list[dict]) -> None:
    stated = _image_of(task) or ''
    image = (tree.find_image(stated, file) or _without_prefix(tree, stated, file)
             or find_image(data, tree, stated, file))  # fmt: skip
    if image is None:
        list_missing(data, tree, stated or f'task {task.get("id")}', file, len(regions))
        return
    first = regions[0] if regions else {}
    stated_size = (first.get('original_width'), first.get('original_height'))
    sample = open_sample(data, tree, image, stated_size if regions else None, file)
    if sample is None:
        return
    sample.split = split_named(image, tree.root)
    data.samples.append(sample)
    by_id: dict[str, Instance] = {}
    points = []
    labelled = {region.get('id') for region in regions if _label(region)}
    for i, region in enumerate(regions, 1):
        where = f'{file}, {Path(stated).name}, region {i}'
        if _label(region) is None and region.get('id') in labelled:
            continue  # the shape alone, which the region with its label has, too
        if more := len(_value(region).get(_label_key(region), ())[1:]):
            data.left_out.add('further labels of a region', where, more)
        if 'keypointlabels' in _value(region):
            points.append((where, region))
        elif one := _instance(data, sample, region, where):
            by_id[str(region.get('id', i))] = one
    _join_points(data, sample, by_id, points)
    for one in by_id.values():
        if add(data, sample, one, f'{file}, {Path(stated).name}'):
            one.label = data.class_of(one.label)


def _without_prefix(tree: Tree, stated: str, file: Path) -> Path | None:
    """An upload is stored as 8 digits and the name that the image had before."""
    name = stated.replace('\\', '/').rpartition('/')[2]
    prefix, dash, rest = name.partition('-')
    return tree.find_image(rest, file) if dash and len(prefix) == 8 else None


def _instance(data: DataSet, sample: Sample, region: dict, where: str) -> Instance | None:
    value, label = _value(region), _label(region)
    if label is None:
        kind = str(region.get('type'))
        if kind in ('choices', 'textarea', 'rating', 'relation'):
            data.left_out.add('choices about whole images', where)
        elif kind.removesuffix('labels') in ('rectangle', 'polygon', 'brush', 'ellipse', 'None'):
            data.left_out.add('regions without a label', where)
        else:
            data.left_out.add(f'regions of type {kind}', where)
        return None
    one, (width, height) = Instance(label), sample.size
    try:
        degrees = float(value.get('rotation') or 0)
        if 'points' in value:
            points = [(float(x), float(y)) for x, y in value['points']]
            one.polygons = [[n for x, y in points for n in (x * width / 100, y * height / 100)]]
        elif 'rle' in value:
            one.runs = geometry.runs_of(decode_brush(value['rle'], sample.size))
        elif 'radiusX' in value:
            x, y, rx, ry = (float(value[k]) / 100 for k in ('x', 'y', 'radiusX', 'radiusY'))
            shape = (x * width, y * height, rx * width, ry * height)
            one.polygons = [geometry.ellipse(*shape, degrees)]
        else:
            x, y, w, h = (float(value[k]) / 100 for k in ('x', 'y', 'width', 'height'))
            one.box = (x * width, y * height, w * width, h * height)
            if degrees % 360:  # rotated about its top left corner
                outline = geometry.rotated(one.box, degrees, one.box[:2])
                one.polygons, one.box = [outline], geometry.hull([outline])
                data.changed.add(
                    'rotated boxes: replaced by the axis-aligned box around each', where
                )
    except (KeyError, TypeError, ValueError) as error:
        data.left_out.add('incomplete regions', f'{where}: {error!r}')
        return None
    return one


def _join_points(
    data: DataSet, sample: Sample, by_id: dict[str, Instance], points: list[tuple[str, dict]]
) -> None:
    """Assigns keypoints to their parent region, or else to the only instance of the image."""
    alone: Instance | None = None
    for where, region in points:
        value, parent = _value(region), region.get('parentID')
        one = by_id.get(str(parent)) if parent else None
        if one is None and len(by_id) <= 1:
            one = alone = alone or next(iter(by_id.values()), None) or Instance('object')
        if one is None:
            data.left_out.add('keypoints without a parent, among several regions', where)
            continue
        one.keypoints = one.keypoints or [0.0] * (3 * len(data.keypoints))
        i = 3 * data.keypoints.index(_label(region) or '')
        if one.keypoints[i + 2]:
            data.left_out.add('keypoints whose name occurs twice in their instance', where)
            continue
        x, y = float(value['x']) / 100, float(value['y']) / 100
        one.keypoints[i : i + 3] = [x * sample.size[0], y * sample.size[1], 2.0]
    if alone is not None and not by_id:
        by_id['alone'] = alone


def decode_brush(values: list[int], size: tuple[int, int]) -> np.ndarray:
    """The mask, (H, W) bool, of a brush region.

    Bits, the highest first: 32 of the number of values, 5 of a value's width less 1, four times
    4 of the widths of run lengths less 1; then runs, each a bit (repeated or not), 2 bits of
    which width its length has, the length less 1, and one value, or as many as the length. The
    values are R, G, B, A of each pixel; A is the mask
    (https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack).

    Raises:
        ValueError: it is malformed, or of another size.
    """
    bits = np.unpackbits(np.array(values, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError('a brush mask that is truncated')
        chunk, place = bits[place : place + count], place + count
        return int(''.join(map(str, chunk.tolist())), 2)

    total, width = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    if total != 4 * size[0] * size[1]:
        raise ValueError(f'a brush mask of {total // 4} pixels for {size[0]} x {size[1]}')
    out, at = np.zeros(total, np.uint8), 0
    while at < total:
        repeated = take(1)
        end = at + 1 + take(widths[take(2)])
        if repeated:
            out[at:end] = take(width)
        else:
            out[at:end] = [take(width) for _ in range(at, min(end, total))]
        at = end
    return out.reshape(size[1], size[0], 4)[..., 3] > 0
