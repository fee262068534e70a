"""Checks shared by the tasks, and the wording of findings."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..layouts import full_path

SAMPLE = 20
"""Number of files of a data set that are checked."""


def class_tuple(part: dict) -> Iterator[str]:
    """``classes=('cat')`` is a string and not a tuple; the name of a file of names is valid."""
    classes = (part.get('metainfo') or {}).get('classes')
    if isinstance(classes, str) and not Path(classes).is_file():
        yield (
            f'expected metainfo.classes to be a tuple of names, found the string {classes!r}; '
            f'write classes=({classes!r},), with the comma'
        )


def outputs(model: dict, heads: Iterable[str], key: str, expected: int, what: str) -> Iterator[str]:
    """Checks that heads have as many outputs as the data has classes or keypoints.

    Args:
        model: the config's model.
        heads: paths of heads, such as 'roi_head.bbox_head'; one may be a list of heads.
        key: the head's option that holds its number of outputs.
        expected: the number of the data.
        what: what is counted, for the message.
    """
    for path in heads:
        head = part_of(model, path)
        several = isinstance(head, (list, tuple))
        for i, one in enumerate(head if several else [head]):
            if key in one and one[key] != expected and not one.get('class_agnostic'):
                yield (
                    f'expected model.{path}{f"[{i}]" * several}.{key}={expected}, the number of '
                    f'{what} of the data, found {one[key]}; set it in the config'
                )


def part_of(model: dict, path: str) -> Any:
    """The value at a path such as 'roi_head.bbox_head' in a config; {} if there is none."""
    found: Any = model
    for word in path.split('.'):
        found = found.get(word) or {}
    return found


def metric_file(metrics: Any, part: dict, split: str) -> Iterator[str]:
    """A metric that reads another annotation file than its data set; those of objects beside a
    panoptic one read the file of instances."""
    panoptic = part.get('type') == 'CocoPanopticDataset'
    used = full_path(part, part.get('ann_file') or '')
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics or {}]:
        file = None if panoptic and 'seg_prefix' not in metric else metric.get('ann_file')
        if not file or '://' in file or Path(file).resolve() == Path(used).resolve():
            continue
        yield (
            f'{split}_evaluator: expected ann_file={used!r}, which {split}_dataloader reads, '
            f'found {file!r}; set it in val_evaluator, and in test_evaluator'
        )


def sample(items: Sequence, size: int = SAMPLE) -> list:
    """Up to ``size`` of the items, evenly spaced."""
    return [items[i * len(items) // size] for i in range(size)] if len(items) > size else [*items]


def listed(items: Iterable) -> str:
    """Items for a message, at most ten."""
    texts = [repr(item) for item in items]
    more = f' and {len(texts) - 10} more' if len(texts) > 10 else ''
    return ', '.join(texts[:10]) + more
