"""CVAT's own XML, "CVAT for images 1.1" and "CVAT for video 1.1".

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/. An ``image`` element contains
shapes; in the format for video a ``track`` contains the same shapes, one per frame.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from . import geometry
from .dataset import DataSet, Instance, Sample
from .files import Tree, read_xml, split_named
from .instances import add, find_image, list_missing, open_sample

NAME = 'CVAT XML'


@dataclass
class _Place:
    """Where a shape belongs: the tally, its image, and its readable name."""

    data: DataSet
    sample: Sample
    where: str


def find(tree: Tree) -> list[Path]:
    """XML files whose root is ``annotations``."""
    found = []
    for file in tree.ending('.xml'):
        with file.open('rb') as stream:
            if re.search(rb'<annotations[\s>]', stream.read(1024)):
                found.append(file)
    return found


def read(tree: Tree, files: list[Path]) -> DataSet:
    """All files of the format."""
    data = DataSet(NAME)
    for file in files:
        root = read_xml(file)
        _take_labels(data, root)
        for image in root.iter('image'):
            _add_image(data, tree, file, image)
        _add_tracks(data, tree, file, root)
    return data


def _take_labels(data: DataSet, root: Element) -> None:
    """Classes in CVAT's order; the labels below a skeleton are keypoints."""
    skeletons = {s.get('label') for s in root.iter('skeleton')}
    for label in root.iterfind('meta//labels/label'):
        name, parent = (label.findtext('name') or '').strip(), label.findtext('parent')
        if parent:
            if name not in data.keypoints:
                data.keypoints.append(name)
        elif name:
            data.class_of(name)
    if skeletons and not data.keypoints:
        names = (p.get('label') or '' for s in root.iter('skeleton') for p in s.iter('points'))
        data.keypoints = list(dict.fromkeys(filter(None, names)))


def _add_image(data: DataSet, tree: Tree, file: Path, image: Element) -> None:
    stated = image.get('name') or ''
    found = find_image(data, tree, stated, file)
    if found is None:
        list_missing(data, tree, stated, file, len(image))
        return
    sample = open_sample(data, tree, found, (image.get('width'), image.get('height')), file)
    if sample is None:
        return
    subset = Path(image.get('subset') or 'default')
    sample.split = split_named(subset, subset.parent) or split_named(found, tree.root)
    data.samples.append(sample)
    for i, shape in enumerate(image, 1):
        add_shape(_Place(data, sample, f'{file}, image {stated}, shape {i}'), shape)


def _frames(tree: Tree, file: Path) -> dict[int, list[Path]]:
    """Images by their number (frame_000012.PNG): those beside or below an XML file, else all."""
    found: dict[int, list[Path]] = {}
    below = [image for image in tree.images() if image.is_relative_to(file.parent)]
    for image in below or tree.images():
        if digits := re.findall(r'\d+', image.stem):
            found.setdefault(int(digits[-1]), []).append(image)
    return found


def _is_numbered(frames: dict[int, list[Path]]) -> bool:
    """Whether the numbers of all images are their places in the order of their names."""
    names = sorted((str(path), number) for number, paths in frames.items() for path in paths)
    first = min(frames, default=0)
    return [number for _, number in names] == list(range(first, first + len(names)))


def _add_tracks(data: DataSet, tree: Tree, file: Path, root: Element) -> None:
    """Frames of a video that exist as images."""
    tracks = root.findall('track')
    if not tracks:
        return
    frames = _frames(tree, file)
    if root.findtext('meta//mode') == 'annotation' and (0 not in frames or not _is_numbered(
        frames
    )):  # fmt: skip
        what = (
            'tracks over images whose names are not the numbers of the frames from 0 on: export '
            'the task as "CVAT for images 1.1"'
        )
        data.left_out.add(what, file, len(tracks))
        return
    samples: dict[int, Sample | None] = {}
    for track in tracks:
        _count_attributes(data, track.findall('attribute'), f'{file}, a track')
        for shape in track.iterfind('*[@frame]'):
            frame = int(shape.get('frame') or -1)
            if shape.get('outside') == '1':
                continue
            found = frames.get(frame, [])
            if len(found) != 1:
                why = ' (several images have its number)' if found else ''
                why = why or ' (export the task with its images, or save the frames of the video)'
                list_missing(data, tree, f'frame {frame}{why}', file, 1)
                continue
            if frame not in samples:
                samples[frame] = open_sample(data, tree, found[0])
            if sample := samples[frame]:
                shape.set('label', shape.get('label') or track.get('label') or '')
                add_shape(_Place(data, sample, f'{file}, frame {frame}'), shape)
    data.samples += [sample for sample in samples.values() if sample]


def add_shape(place: _Place, shape: Element) -> None:
    """Adds a shape to its image, or counts it as skipped."""
    label = (shape.get('label') or '').strip()
    read_shape = _SHAPES.get(shape.tag)
    if read_shape is None or not label:
        if shape.tag != 'tag':
            place.data.left_out.add(f'shapes of type {shape.tag}', place.where)
        else:
            place.data.left_out.add('tags of whole images', place.where)
        return
    one = Instance(place.data.class_of(label))
    try:
        read_shape(place, shape, one)
    except (TypeError, ValueError) as error:
        place.data.left_out.add('incomplete shapes', f'{place.where}: {error}')
        return
    _count_attributes(place.data, shape.iter('attribute'), place.where)
    add(place.data, place.sample, one, place.where)


def _count_attributes(data: DataSet, attributes: Iterable[Element], where: str) -> None:
    for attribute in attributes:
        name = (attribute.get('name') or '')[:50]
        data.left_out.add(f'attributes {name!r} of shapes, not used', where)


def _numbers(shape: Element, names: Iterable[str]) -> list[float]:
    return [float(shape.get(name, '')) for name in names]


def _read_box(place: _Place, shape: Element, one: Instance) -> None:
    x1, y1, x2, y2 = _numbers(shape, ('xtl', 'ytl', 'xbr', 'ybr'))
    one.box = (x1, y1, x2 - x1, y2 - y1)
    if degrees := float(shape.get('rotation') or 0) % 360:
        outline = geometry.rotated(one.box, degrees)
        one.polygons, one.box = [outline], geometry.hull([outline])
        what = 'rotated boxes: replaced by the axis-aligned box around each'
        place.data.changed.add(what, place.where)


def _points(shape: Element) -> list[float]:
    pairs = [pair.split(',') for pair in (shape.get('points') or '').split(';') if pair]
    return [float(number) for x, y in pairs for number in (x, y)]


def _read_polygon(place: _Place, shape: Element, one: Instance) -> None:
    one.polygons = [_points(shape)]


def _read_ellipse(place: _Place, shape: Element, one: Instance) -> None:
    cx, cy, rx, ry = _numbers(shape, ('cx', 'cy', 'rx', 'ry'))
    one.polygons = [geometry.ellipse(cx, cy, rx, ry, float(shape.get('rotation') or 0))]


def _read_mask(place: _Place, shape: Element, one: Instance) -> None:
    """Run lengths along the rows of a patch, background first."""
    left, top, width, height = (int(n) for n in _numbers(shape, ('left', 'top', 'width', 'height')))
    lengths = [int(n) for n in (shape.get('rle') or '').split(',') if n.strip()]
    size = place.sample.size
    if not (0 <= width <= 2 * size[0] and 0 <= height <= 2 * size[1]):
        raise ValueError(f'a mask of {width} x {height} in an image of {size[0]} x {size[1]}')
    if sum(lengths) != width * height or min(lengths, default=0) < 0:
        raise ValueError(f'run lengths of {sum(lengths):g} pixels for {width} x {height}')
    patch = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
    whole = np.zeros(size[::-1], bool)
    part = whole[max(top, 0) : top + height, max(left, 0) : left + width]
    part |= patch[: part.shape[0], : part.shape[1]]
    one.runs = geometry.runs_of(whole)


def _read_skeleton(place: _Place, shape: Element, one: Instance) -> None:
    values = [0.0] * (3 * len(place.data.keypoints))
    for point in shape.iter('points'):
        x, y = _points(point)[:2]
        i = 3 * place.data.keypoints.index((point.get('label') or '').strip())
        if point.get('outside') == '1':
            continue
        values[i : i + 3] = [x, y, 1.0 if point.get('occluded') == '1' else 2.0]
    one.keypoints = values


_SHAPES: dict[str, Callable[[_Place, Element, Instance], None]] = {
    'box': _read_box,
    'polygon': _read_polygon,
    'ellipse': _read_ellipse,
    'mask': _read_mask,
    'skeleton': _read_skeleton,
}
"""Shapes with an area or keypoints; polylines, points and cuboids have neither."""
