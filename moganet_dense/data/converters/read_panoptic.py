"""COCO panoptic: JSON with ``segments_info``, and a PNG per image whose colours are segments.

The number of a segment is R + 256 G + 65536 B, and 0 means that a pixel has none
(https://cocodataset.org/#format-data). The PNGs are in a folder with the name of the JSON file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.errors import UserError
from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, image_size, read_json, split_named
from .instances import add, list_missing, open_sample
from .read_coco import by_image, class_names, coco_files, id_of
from .read_label_maps import load

NAME = 'COCO panoptic'
MOST_SEGMENTS = 2000
"""Segments of an image, at most: COCO has up to 95."""


def find(tree: Tree) -> list[Path]:
    """JSON files of COCO whose annotations have segments."""
    return coco_files(tree, panoptic=True)


def read(tree: Tree, files: Iterable[Path]) -> DataSet:
    """Every segment as an instance with a mask; those of stuff are marked."""
    data = DataSet(NAME)
    for file in files:
        content = read_json(file)
        rows = [row for row in content['annotations'] if isinstance(row, dict)]
        categories = [row for row in content['categories'] if isinstance(row, dict)]
        segments = [one for row in rows for one in _segments(row)]
        names = class_names(data, categories, segments, file)
        stuff = {id_of(row.get('id')) for row in categories if row.get('isthing') == 0}
        data.has_stuff |= bool(stuff)
        stated = {id_of(row.get('id')): row for row in content['images'] if isinstance(row, dict)}
        for key, own in by_image(rows).items():
            image = stated.get(key)
            if image is None:
                what = 'annotations whose image_id is not in the file'
                data.left_out.add(what, f'{file}: image_id {key}', len(own))
                continue
            sample = _sample(data, tree, image, own[0], file)
            if sample:
                sample.split = split_named(file, tree.root)
                data.samples.append(sample)
                _add_segments(data, sample, _segments(own[0]), names, stuff)
    return data


def _segments(row: dict) -> list[dict]:
    segments = row.get('segments_info')
    return [one for one in segments if isinstance(one, dict)] if isinstance(segments, list) else []


def _sample(data: DataSet, tree: Tree, image: dict, row: dict, file: Path) -> Sample | None:
    """The image, with its PNG as ``labels`` until its segments are read."""
    name = str(row.get('file_name') or '')
    labels = _png(tree, name, file)
    if labels is None:
        count = len(_segments(row))
        data.left_out.add('panoptic PNGs that are missing', f'{name or "no name"} of {file}')
        data.left_out.add('segments of missing panoptic PNGs', file, count)
        return None
    data.seen.add(labels)
    stated = str(image.get('file_name') or image.get('coco_url') or '')
    found = tree.find_image(stated, file, without=labels)
    if found is None:
        list_missing(data, tree, stated, file, len(_segments(row)))
        return None
    sample = open_sample(data, tree, found, (image.get('width'), image.get('height')), file)
    if sample:
        sample.labels = labels
    return sample


def _png(tree: Tree, name: str, file: Path) -> Path | None:
    """The PNG of an annotation: in the folder of the JSON file's name, or in one called so."""
    if not name.lower().endswith('.png'):
        return None
    direct = file.with_suffix('') / name
    if direct in tree.listed:
        return direct
    parts = [f for f in tree.listed_as(Path(name).name) if _is_panoptic(f, tree.root)]
    return parts[0] if len(parts) == 1 else None


def _is_panoptic(file: Path, root: Path) -> bool:
    return any('panoptic' in part.lower() for part in file.relative_to(root).parts[:-1])


def _add_segments(
    data: DataSet, sample: Sample, segments: list[dict], names: dict[str, str], stuff: set[str]
) -> None:
    labels, sample.labels = sample.labels, None
    try:
        codes = _codes(labels, sample.size)
    except UserError as error:
        data.left_out.add('panoptic PNGs that cannot be used', str(error))
        return
    present = set(np.unique(codes).tolist()) - {0}
    if max(len(present), len(segments)) > MOST_SEGMENTS:  # each is a pass over the image
        what = f'panoptic PNGs of more than {MOST_SEGMENTS} segments'
        data.left_out.add(what, str(labels))
        return
    unlisted = set(present)
    for segment in segments:
        where = f'segment {segment.get("id")!r} of {labels}'
        number, key = segment.get('id'), id_of(segment.get('category_id'))
        unlisted.discard(number)
        if key not in names:
            data.left_out.add('segments whose category_id is not in the file', where)
            continue
        if type(number) is not int or number not in present:
            data.left_out.add('segments without a pixel', where)
            continue
        mask = codes == number
        one = Instance(names[key], geometry.box_of_mask(mask), stuff=key in stuff)
        runs = geometry.runs_of(mask)
        one.runs = dict(runs, counts=np.array(runs['counts'], np.int32))  # a seventh of a list
        one.crowd = bool(segment.get('iscrowd'))
        add(data, sample, one, where)
    if unlisted:
        data.left_out.add('segments of PNGs that the JSON file does not list', labels,
                          len(unlisted))  # fmt: skip


def _codes(file: Path | None, size: tuple[int, int]) -> np.ndarray:
    """Numbers of the segments, (H, W).

    Raises:
        UserError: the PNG cannot be read, or has another size than its image.
    """
    assert file is not None
    if (found := image_size(file)) != size:
        raise UserError(f'{file}: {found[0]} x {found[1]}, image {size[0]} x {size[1]}')
    colours: Any = load(file)
    if colours.ndim == 2:  # grey colours, R = G = B, or the numbers of a map of one channel
        grey = colours.astype(np.uint32)
        return grey * 65793 if _has_three_channels(file) else grey
    return colours.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)


def _has_three_channels(file: Path) -> bool:
    from PIL import Image

    with Image.open(file) as image:
        return len(image.getbands()) >= 3
