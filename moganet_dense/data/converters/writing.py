"""A data set as the toolboxes read it: COCO JSON, or index PNGs and lists of pairs.

Images stay where they are. Nothing is overwritten.
"""

import json
import os
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...utils.errors import UserError
from . import geometry
from . import read_label_maps as label_maps
from .dataset import SPLITS, DataSet, Instance, Sample


def annotation_files(data: DataSet, task: str, root: Path, folder: Path) -> dict[Path, bytes]:
    """The files to write, by path: COCO JSON of each split that has images.

    Args:
        data: read and split.
        task: 'boxes', 'masks' or 'keypoints'.
        root: folder that ``file_name`` is relative to.
        folder: where the files go.
    """
    files = {}
    for split in SPLITS:
        samples = [sample for sample in data.samples if sample.split == split]
        if samples:
            content = coco(data, samples, task, root)
            files[folder / f'{split}.json'] = (json.dumps(content) + '\n').encode()
    return files


def coco(data: DataSet, samples: Iterable[Sample], task: str, root: Path) -> dict[str, Any]:
    """Samples in COCO's format: ids from 1, in the order of file names."""
    samples = sorted(samples, key=lambda sample: str(sample.file))
    number = {name: i for i, name in enumerate(data.classes, 1)}
    categories: list[dict[str, Any]] = [dict(id=i, name=name) for name, i in number.items()]
    if task == 'keypoints':
        skeleton = [[a + 1, b + 1] for a, b in data.skeleton]
        for category in categories:
            category.update(keypoints=data.keypoints, skeleton=skeleton)
    images, rows = [], []
    for i, sample in enumerate(samples, 1):
        name = os.path.relpath(sample.file, root).replace(os.sep, '/')
        images.append(dict(id=i, file_name=name, width=sample.size[0], height=sample.size[1]))
        for one in sample.instances:
            if one.label in number:
                head = dict(id=len(rows) + 1, image_id=i, category_id=number[one.label])
                rows.append({**head, **_row(one, task, len(data.keypoints))})
    return dict(images=images, annotations=rows, categories=categories)


def _row(one: Instance, task: str, keypoints: int) -> dict[str, Any]:
    x, y, w, h = one.box or (0.0, 0.0, 0.0, 0.0)
    row: dict[str, Any] = dict(bbox=[_n(x), _n(y), _n(w), _n(h)], iscrowd=int(one.crowd))
    row['area'] = _n(_area(one, w * h))
    if one.runs:
        row['segmentation'] = dict(one.runs, counts=[int(n) for n in one.runs['counts']])
    elif one.polygons:
        row['segmentation'] = [[_n(n) for n in outline] for outline in one.polygons]
    elif task == 'masks':
        row['segmentation'] = [[_n(n) for n in (x, y, x + w, y, x + w, y + h, x, y + h)]]
    if task == 'keypoints':
        values = one.keypoints or [0.0] * (3 * keypoints)
        row['keypoints'] = [_n(value) for value in values]
        row['num_keypoints'] = sum(seen > 0 for seen in values[2::3])
    return row


def _n(value: float) -> float | int:
    """A number of at most three decimals, without a decimal point if it is an integer."""
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _area(one: Instance, of_box: float) -> float:
    if one.area:
        return one.area
    if one.runs:
        return float(sum(one.runs['counts'][1::2]))
    return sum(map(geometry.polygon_area, one.polygons)) or of_box


def label_files(data: DataSet, root: Path, folder: Path) -> dict[Path, bytes]:
    """The files to write, by path: of each split a list of images and label maps, a tab between
    them; and the label maps that do not contain indices already.

    Args:
        data: read and split, with label maps or with outlines to draw them from.
        root: folder that the images in the lists are relative to.
        folder: where the files go.
    """
    files: dict[Path, bytes] = {}
    as_they_are = data.colours is not None and label_maps.is_identity(data.colours)
    for split in SPLITS:
        lines = []
        for sample in (s for s in data.samples if s.split == split):
            image = os.path.relpath(sample.file, root)
            labels = sample.labels
            if not (labels and as_they_are and label_maps.load(labels).ndim == 2):
                labels = (folder / 'labels' / image.replace(f'..{os.sep}', '')).with_suffix('.png')
                if labels in files:
                    labels = labels.with_name(f'{sample.file.name}.png')
                files[labels] = _png(index_map(data, sample))
            lines.append(f'{image}\t{os.path.relpath(labels, folder)}'.replace(os.sep, '/'))
        if lines:
            files[folder / f'{split}.txt'] = ('\n'.join(sorted(lines)) + '\n').encode()
    return files


def index_map(data: DataSet, sample: Sample) -> np.ndarray:
    """The label map of a sample, (H, W) uint8: from its file, or drawn from its outlines.

    If drawn, pixels of no instance are 0, the background, or void beside stuff; and later
    instances cover earlier ones.
    """
    if sample.labels:
        return label_maps.indices(label_maps.load(sample.labels), data.colours or {})
    out = np.full(sample.size[::-1], label_maps.VOID if data.has_stuff else 0, np.uint8)
    for one in sample.instances:
        value = label_maps.VOID if one.crowd else data.classes.index(one.label)
        out[mask(one, sample.size)] = value
    return out


def mask(one: Instance, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an instance, (H, W) bool; the pixels of its box if it has no other shape."""
    if one.runs:
        return geometry.mask_of(one.runs)
    outlines = one.polygons
    if not outlines and one.box:
        x, y, w, h = one.box
        outlines = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    from pycocotools import mask as run_lengths  # mmdet's, which draws its masks with it

    return run_lengths.decode(
        run_lengths.merge(run_lengths.frPyObjects(outlines, size[1], size[0]))
    ).astype(bool)


def _png(labels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(labels).save(stream, 'PNG')
    return stream.getvalue()


def require_new(paths: Sequence[Path], option: str) -> None:
    """Checks that there is nothing at any of the paths, not even a link that leads nowhere.

    Args:
        paths: to be written.
        option: by which another path is chosen, for the message.

    Raises:
        UserError: there is something.
    """
    if there := [path for path in paths if os.path.lexists(path)]:
        raise UserError(
            f'{there[0]} exists already and is not overwritten: pass another {option}, or move it '
            'away'
        )
