"""Images and label maps, as mmseg reads them.

A label map has a number for each pixel. With ``reduce_zero_label`` 0 is ignored and the
classes are 1, 2, ...; without it they are 0, 1, ...; 255 is ignored in both.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ...utils.suggest import did_you_mean
from ..converters.read_label_maps import lossy_format
from ..data_summary import SplitSummary, Summary, of_label_maps
from ..image_io import IGNORED
from ..sources import IMAGE_SUFFIXES
from .common import SAMPLE, listed, outputs, part_of, sample
from .config_rules import last_batch
from .image_files import ImageSpec, read_labels

_HEADS = ('decode_head', 'auxiliary_head')
_SMOOTHED = 10
"""Numbers of no class above which edges were probably smoothed."""
MANY = 500
"""Maximum number of label maps to read if the sample is inconclusive."""


def check_labels(
    cfg: dict,
    part: dict,
    dataset: BaseDataset,
    split: str,
    every: list[ImageSpec] | None = None,
    summary: Summary | None = None,
) -> Iterator[str]:
    """Findings of a folder of images and label maps.

    Args:
        cfg: the config.
        part: the config of the data set.
        dataset: built from it, not loaded.
        split: train, val or test; only the last may be without label maps.
        every: if given, add all images with their label maps.
        summary: if given, add the used pixels.
    """
    names, model = list(dataset.metainfo['classes']), cfg['model']
    yield from outputs(model, _HEADS, 'num_classes', len(names), 'classes')
    yield from one_rule_for_zero(part, dataset)
    yield from one_ignored_number(cfg, dataset, split)
    rows = dataset.load_data_list()
    if split == 'test' and not all('seg_map_path' in row for row in rows):
        yield from images(rows, dataset)
        return
    incomplete = [*images(rows, dataset), *files_of(rows, dataset)]
    yield from incomplete
    if incomplete:
        return
    rule = Rule(names, dataset.reduce_zero_label, dataset.label_map, ignored_number(model))
    if every is not None:
        every += [
            ImageSpec(row['img_path'], split, labels=row['seg_map_path'], rule=rule) for row in rows
        ]
    maps = [row['seg_map_path'] for row in rows]
    unusable = [*lossy(maps), *one_channel(maps)]
    yield from unusable
    if unusable:
        return
    pixels = counted(sample(maps))
    wrong = list(labels_in_range(pixels, rule, min(len(maps), SAMPLE)))
    yield from wrong
    if split == 'train' and not wrong:
        yield from first_class_ignored(maps, rule)
        yield from two_values(maps, rule)
        yield from last_batch(cfg, len(rows))
    if summary is not None:
        source = dataset.ann_file or dataset.data_prefix['seg_map_path']
        read = min(len(maps), SAMPLE)
        found = of_label_maps(source, split, names, len(rows), rule.trained(pixels), read)
        _count_others(found, rows, dataset)
        summary.parts.append(found)


def _count_others(found: SplitSummary, rows: list[dict], dataset: BaseDataset) -> None:
    """Counts the images that the data set leaves out because of their suffix."""
    if others := other_endings(rows, dataset):
        found.images += others
        reason = f'with a suffix other than {dataset.img_suffix!r} (LabelMapDataset reads all)'
        found.dropped_images[reason] = others


@dataclass(frozen=True)
class Rule:
    """The meaning of the numbers in label maps.

    Attributes:
        names: of the classes.
        reduced: ``reduce_zero_label``: 0 is ignored and the classes count from 1.
        label_map: index by number; other numbers are unchanged.
        ignored: number that the loss ignores.
    """

    names: list[str]
    reduced: bool = False
    label_map: dict[int, int] | None = None
    ignored: int = IGNORED

    def index(self, number: int) -> int:
        """The training label of a number in a label map, as by mmseg's LoadAnnotations."""
        if self.reduced:
            number = IGNORED if number in (0, IGNORED) else number - 1
        return (self.label_map or {}).get(number, number)

    def trained(self, pixels: Counter) -> Counter:
        """Pixels by index."""
        found: Counter = Counter()
        for number, count in pixels.items():
            found[self.index(number)] += count
        return found

    def no_class(self, numbers: Iterable[int]) -> set[int]:
        """The numbers that are neither a class nor ignored."""
        return {
            n for n in numbers if not 0 <= (i := self.index(n)) < len(self.names)
            and i != self.ignored
        }  # fmt: skip


def ignored_number(model: dict) -> int:
    """The index that the loss ignores."""
    head = part_of(model, 'decode_head')
    head = head[0] if isinstance(head, (list, tuple)) else head
    return head.get('ignore_index', IGNORED)


def one_ignored_number(cfg: dict, dataset: BaseDataset, split: str) -> Iterator[str]:
    """Loss, metric, padding and data set may each define the ignored number."""
    model, number = cfg['model'], ignored_number(cfg['model'])
    metrics = cfg.get(f'{split}_evaluator') or []
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    auxiliary = part_of(model, 'auxiliary_head')
    auxiliary = auxiliary if isinstance(auxiliary, (list, tuple)) else [auxiliary]
    said = [(f'{split}_dataloader.dataset.ignore_index', dataset.ignore_index)]
    said += [
        ('model.auxiliary_head.ignore_index', h.get('ignore_index', 255)) for h in auxiliary if h
    ]
    said += [
        (f'{split}_evaluator.ignore_index', metric.get('ignore_index', IGNORED))
        for metric in metrics
        if metric.get('type') == 'IoUMetric'
    ]
    if 'seg_pad_val' in (padding := part_of(model, 'data_preprocessor')):
        said.append(('model.data_preprocessor.seg_pad_val', padding['seg_pad_val']))
    for place, found in said:
        if found != number:
            yield (
                f'expected {place}={number}, which model.decode_head ignores, found {found}; set '
                f'it to {number}'
            )


def known_classes(part: dict, kind: type) -> Iterator[str]:
    """mmseg's classes of known data sets accept only a subset of their names."""
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
    """The data set and the transform that loads labels may each define the meaning of 0."""
    for step in part.get('pipeline') or []:
        said = step.get('reduce_zero_label') if step.get('type') == 'LoadAnnotations' else None
        if said is not None and said != dataset.reduce_zero_label:
            yield (
                f'expected one rule for label 0, found reduce_zero_label='
                f'{dataset.reduce_zero_label} of the data set and {said} of LoadAnnotations in '
                'its pipeline; set it in the data set and leave it out of LoadAnnotations'
            )


def images(rows: Sequence[dict], dataset: BaseDataset) -> Iterator[str]:
    """An empty data set, or images with another suffix than in the config."""
    if not rows:
        folder = Path(dataset.data_prefix['img_path'])
        suffixes = sorted({file.suffix for file in folder.rglob('*') if file.is_file()})
        yield (
            f'the data set is empty: expected images ending in {dataset.img_suffix!r} in '
            f'{dataset.ann_file or folder}, found files ending in {listed(suffixes) or "nothing"}'
            '; set img_suffix or data_prefix'
        )


def files_of(rows: Sequence[dict], dataset: BaseDataset) -> Iterator[str]:
    """Checks that the images and their label maps exist."""
    for key, option in [('img_path', 'img_suffix'), ('seg_map_path', 'seg_map_suffix')]:
        files = [Path(row[key]) for row in sample(rows)]
        if absent := [file for file in files if not file.is_file()]:
            stem = absent[0].name.removesuffix(getattr(dataset, option))
            beside = sorted(file.name for file in absent[0].parent.glob(f'{stem}.*'))
            yield (
                f'expected {absent[0]}, found {listed(beside) or "no such file"} ({len(absent)} '
                f'of the {len(files)} looked for are missing); set {option} or data_prefix'
            )


def lossy(maps: Sequence[str]) -> Iterator[str]:
    """Label maps in a format that changes numbers at edges."""
    for file in sample(maps):
        kind = lossy_format(Path(file))
        if kind is None:
            continue
        yield (
            f'expected lossless label maps, found {kind}, which changes the numbers at edges, in '
            f'{file}; export them as PNG, from the annotations and not from these files'
        )
        return


def one_channel(maps: Sequence[str]) -> Iterator[str]:
    """Label maps that are coloured images."""
    for file in sample(maps):
        if bands := read_labels(file).shape[2:]:
            yield (
                f'expected label maps of one number a pixel, found {bands[0]} channels in '
                f'{file}; convert the colours to class numbers: `moganet-dense init FOLDER` '
                'does, and so does `moganet-dense check CONFIG --fix OUT` where the channels are '
                'equal'
            )
            return


def labels_in_range(pixels: Counter, rule: Rule, sampled: int) -> Iterator[str]:
    """Numbers that are no class.

    ``reduce_zero_label`` is the fix only if 0 never occurs and the classes count from 1:
    with 0 among the labels it would shift every class.
    """
    count = len(rule.names)
    if not (odd := rule.no_class(pixels)):
        return
    numbers = set(pixels) - {IGNORED}
    share = sum(pixels[n] for n in odd) / sum(pixels.values())
    mapped = dict.fromkeys([n - rule.reduced for n in sorted(odd)], rule.ignored)
    fix = (
        f"if these are not classes, set type='LabelMapDataset', label_map={mapped} in all data sets"
        f'{" (numbers after reduce_zero_label)" * rule.reduced}; or name all classes'
    )
    if len(odd) > _SMOOTHED:
        fix = (
            'are edges smoothed, resized or compressed? Export the label maps as PNG without '
            'smoothing; or name all classes'
        )
    if rule.reduced and numbers <= set(range(count)):
        fix = 'set reduce_zero_label=False in the data set'
    elif not rule.reduced and numbers <= set(range(1, count + 1)):
        fix = 'set reduce_zero_label=True in the data set, as 0 never occurs'
    elif not rule.reduced and odd == {count} and 0 in numbers:
        shifted = ', '.join([f'0: {rule.ignored}', *(f'{n + 1}: {n}' for n in range(count))][:4])
        fix = (
            f"{count} is not a class (void?): set type='LabelMapDataset', label_map={{{count}: "
            f'{rule.ignored}}} in all data sets; or it is a class: name it; or 0 is void and the '
            f'classes count from 1: label_map={{{shifted}{", ..." * (count > 3)}}}'
        )
    zero = '0 and ' * rule.reduced
    yield (
        f'expected labels {int(rule.reduced)} to {count - 1 + rule.reduced} ({zero}{rule.ignored}: '
        f'ignored), for {count} classes and reduce_zero_label={rule.reduced}, found '
        f'{listed(sorted(odd))} in {sampled} label maps, {share:.1%} of the pixels; {fix}'
    )


def two_values(maps: Sequence[str], rule: Rule) -> Iterator[str]:
    """Masks of 0 and 255: the second class never occurs, since 255 is ignored."""
    if len(rule.names) != 2 or rule.reduced or rule.label_map or rule.ignored != IGNORED:
        return
    if set(pixels := counted(sample(maps))) == {0, IGNORED}:
        share = pixels[IGNORED] / sum(pixels.values())
        yield (
            f'expected class {rule.names[1]!r} (1) in the label maps, found 0 and {IGNORED} alone, '
            f'and {IGNORED}, {share:.1%} of the pixels, is ignored; for masks of 0 and {IGNORED} '
            f"set type='LabelMapDataset', label_map={{{IGNORED}: 1}} in all data sets, or "
            '`moganet-dense check CONFIG --fix OUT` writes masks of 0 and 1'
        )


def first_class_ignored(maps: Sequence[str], rule: Rule) -> Iterator[str]:
    """``reduce_zero_label`` although 0 is a class: all labels are in range, but shifted.

    The criterion: each of 0 to ``count - 1`` occurs, and ``count`` never does. An error only
    if all label maps were read; else a warning.
    """
    count = len(rule.names)
    own = set(range(count))
    if not rule.reduced or set(counted(sample(maps))) - {IGNORED} != own:
        return
    checked = sample(maps, MANY)
    if set(counted(checked)) - {IGNORED} != own:
        return
    finding = (
        f'expected labels 1 to {count} (0 and {IGNORED}: ignored), for reduce_zero_label=True, '
        f'found 0 to {count - 1} and never {count} in {len(checked)} label maps; set '
        'reduce_zero_label=False if 0 is a class, else remove the last class'
    )
    if len(checked) == len(maps):
        yield finding
    else:
        print_log(finding, 'current', logging.WARNING)


def counted(maps: Iterable[str]) -> Counter:
    """Pixels by number in label maps."""
    found: Counter = Counter()
    for file in maps:
        numbers, counts = np.unique(read_labels(file), return_counts=True)
        found.update(dict(zip(map(int, numbers), map(int, counts), strict=True)))
    return found


def other_endings(rows: Sequence[dict], dataset: BaseDataset) -> int:
    """Number of images that have a label map but another suffix than ``img_suffix``, and so are not
    read."""
    if dataset.ann_file or not dataset.img_suffix or hasattr(dataset, 'own_label_map'):
        return 0
    images, labels = (Path(dataset.data_prefix[k] or '.') for k in ('img_path', 'seg_map_path'))
    used = {row['img_path'] for row in rows}
    return sum(
        (labels / f.relative_to(images).with_suffix(dataset.seg_map_suffix)).is_file()
        for f in images.rglob('*')
        if f.suffix.lower() in IMAGE_SUFFIXES and str(f) not in used
    )
