"""Pictures and label maps, as mmseg reads them.

A label map holds a number for each pixel. With ``reduce_zero_label`` 0 is ignored and the
classes are 1, 2, ...; without it they are 0, 1, ...; 255 is ignored in both.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ...utils.suggest import did_you_mean
from ..image_io import IGNORED
from .common import listed, outputs, sample
from .image_files import Picture, no_class, read_labels

MANY = 500
"""Label maps that are looked at, at most, where the sample leaves a doubt."""


def check_labels(
    model: dict,
    part: dict,
    dataset: BaseDataset,
    split: str,
    every: list[Picture] | None = None,
) -> Iterator[str]:
    """Findings of a folder of pictures and label maps.

    Args:
        model: the config's model.
        part: the config of the data set.
        dataset: built from it, not loaded.
        split: train, val or test; only the last may be without label maps.
        every: add all pictures with their label maps here.
    """
    classes = len(dataset.metainfo['classes'])
    heads = ('decode_head', 'auxiliary_head')
    yield from outputs(model, heads, 'num_classes', classes, 'classes')
    yield from one_rule_for_zero(part, dataset)
    rows = dataset.load_data_list()
    if split == 'test' and not all('seg_map_path' in row for row in rows):
        yield from pictures(rows, dataset)
        return
    count = classes if dataset.label_map is None else len(dataset.label_map)
    if every is not None:
        every += [
            Picture(
                row['img_path'],
                split,
                labels=row['seg_map_path'],
                classes=count,
                reduced=dataset.reduce_zero_label,
            )
            for row in rows
        ]
    incomplete = [*pictures(rows, dataset), *files_of(rows, dataset)]
    yield from incomplete
    if incomplete:
        return
    maps = [row['seg_map_path'] for row in rows]
    coloured = list(one_channel(maps))
    yield from coloured
    if coloured:
        return
    yield from labels_in_range(maps, count, dataset.reduce_zero_label)
    if split == 'train' and dataset.reduce_zero_label:
        yield from first_class_ignored(maps, count)


def known_classes(part: dict, kind: type) -> Iterator[str]:
    """mmseg's classes of known data sets take a subset of their names only."""
    own = kind.METAINFO.get('classes')
    classes = (part.get('metainfo') or {}).get('classes') or own
    if not classes:
        yield (
            f'expected class names for {part["type"]}, found none; '
            'set metainfo=dict(classes=(...,)) in the order of the labels'
        )
    elif own and not isinstance(classes, str) and (absent := [c for c in classes if c not in own]):
        yield (
            f'expected some of the {len(own)} classes of {part["type"]}, found {listed(absent)}'
            f"{did_you_mean(absent[0], own)}; for classes of your own set type='BaseSegDataset'"
        )


def one_rule_for_zero(part: dict, dataset: BaseDataset) -> Iterator[str]:
    """The data set and the transform that loads labels may each say what 0 means."""
    for step in part.get('pipeline') or []:
        said = step.get('reduce_zero_label') if step.get('type') == 'LoadAnnotations' else None
        if said is not None and said != dataset.reduce_zero_label:
            yield (
                f'expected one rule for label 0, found reduce_zero_label='
                f'{dataset.reduce_zero_label} of the data set and {said} of LoadAnnotations in '
                'its pipeline; set it in the data set and leave it out of LoadAnnotations'
            )


def pictures(rows: Sequence[dict], dataset: BaseDataset) -> Iterator[str]:
    """An empty data set, or pictures that end in another suffix than the config's."""
    if not rows:
        folder = Path(dataset.data_prefix['img_path'])
        suffixes = sorted({file.suffix for file in folder.rglob('*') if file.is_file()})
        yield (
            f'the data set is empty: expected pictures ending in {dataset.img_suffix!r} in '
            f'{dataset.ann_file or folder}, found files ending in {listed(suffixes) or "nothing"}'
            '; set img_suffix or data_prefix'
        )


def files_of(rows: Sequence[dict], dataset: BaseDataset) -> Iterator[str]:
    """Whether pictures, and the label map of each, are there."""
    for key, option in [('img_path', 'img_suffix'), ('seg_map_path', 'seg_map_suffix')]:
        files = [Path(row[key]) for row in sample(rows)]
        if absent := [file for file in files if not file.is_file()]:
            stem = absent[0].name.removesuffix(getattr(dataset, option))
            beside = sorted(file.name for file in absent[0].parent.glob(f'{stem}.*'))
            yield (
                f'expected {absent[0]}, found {listed(beside) or "no such file"} ({len(absent)} '
                f'of the {len(files)} looked for are missing); set {option} or data_prefix'
            )


def one_channel(maps: Sequence[str]) -> Iterator[str]:
    """Label maps that are coloured pictures."""
    for file in sample(maps):
        if bands := read_labels(file).shape[2:]:
            yield (
                f'expected label maps of one number a pixel, found {bands[0]} channels in '
                f'{file}; turn the colours into numbers of classes'
            )
            return


def labels_in_range(maps: Sequence[str], count: int, reduced: bool) -> Iterator[str]:
    """Labels that are no class: renumbering, or ``reduce_zero_label``, is off by one."""
    looked = sample(maps)
    labels = values(looked)
    if odd := no_class(labels, count, reduced):
        mend = 'renumber the labels, or name all classes'
        if not no_class(labels, count, not reduced):
            mend = f'set reduce_zero_label={not reduced} in the data set'
        yield (
            f'expected labels {int(reduced)} to {count - 1 + reduced} ({"0 and " * reduced}'
            f'{IGNORED}: ignored), for {count} classes and reduce_zero_label={reduced}, found '
            f'{listed(sorted(odd))} in {len(looked)} label maps; {mend}'
        )


def first_class_ignored(maps: Sequence[str], count: int) -> Iterator[str]:
    """``reduce_zero_label`` where 0 is a class: nothing is out of range, and yet it is wrong.

    The sign of it: each of 0 to ``count - 1`` occurs, and ``count`` never does. Certain only
    if all label maps were looked at; else a warning.
    """
    own = set(range(count))
    if values(sample(maps)) - {IGNORED} != own:
        return
    looked = sample(maps, MANY)
    if values(looked) - {IGNORED} != own:
        return
    finding = (
        f'expected labels 1 to {count} (0 and {IGNORED}: ignored), for reduce_zero_label=True, '
        f'found 0 to {count - 1} and never {count} in {len(looked)} label maps; set '
        'reduce_zero_label=False if 0 is a class, else leave the last class out'
    )
    if len(looked) == len(maps):
        yield finding
    else:
        print_log(finding, 'current', logging.WARNING)


def values(maps: Iterable[str]) -> set[int]:
    """The numbers that occur in label maps."""
    return {int(v) for file in maps for v in np.unique(read_labels(file))}
