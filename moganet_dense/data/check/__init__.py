"""What does not fit between a config and its data, found before training starts.

A finding is one line: what was expected, what was found, what to do. Each function of
``coco``, ``labels`` and ``shared`` looks at one thing and yields its findings. Data sets that
are remote, or that another reader than the toolbox's own loads, are left alone: nothing is
guessed about them.
"""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import DATASETS

from ...errors import UserError
from ..layouts import full_path, innermost, require_files
from . import coco, labels
from .shared import class_tuple, metric_file

_CHECKS = {
    'mmdet': ('CocoDataset', coco.check_boxes),
    'mmpose': ('BaseCocoStyleDataset', coco.check_joints),
    'mmseg': ('BaseSegDataset', labels.check_labels),
}
"""Toolbox: the data set class whose files are understood, and what checks them."""

_READERS = ('load_data_list', 'parse_data_info', '_load_annotations', 'COCOAPI')
"""What a subclass must have left as it is if its files are to be understood."""


def check_before_training(cfg: Config) -> None:
    """Raises the first finding in the data of training and validation.

    Reads each annotation file once (seconds for COCO), and of pictures and label maps a few.

    Raises:
        UserError: files are missing, cannot be read, or do not fit the config.
    """
    for finding in findings(cfg):
        raise UserError(finding)


def findings(cfg: Config) -> Iterator[str]:
    """Everything that does not fit, a line each.

    Raises:
        UserError: a file is missing or cannot be read, so that the rest cannot be judged.
    """
    for split in ('train', 'val'):
        loader = f'{split}_dataloader'
        if not cfg.get(loader):
            continue
        require_files(cfg[loader].dataset, cfg.default_scope)
        parts = list(innermost(cfg[loader].dataset))
        for part in parts:
            for finding in _of_data_set(cfg, part, training=split == 'train'):
                yield f'{loader}: {finding}'
        if split == 'val' and len(parts) == 1:
            yield from metric_file(cfg.get('val_evaluator'), parts[0])


def _of_data_set(cfg: Config, part: dict, training: bool) -> Iterator[str]:
    scope = cfg.default_scope
    if scope not in _CHECKS or '://' in full_path(part, part.get('ann_file') or ''):
        return
    base_name, check = _CHECKS[scope]
    with DATASETS.switch_scope_and_registry(scope) as registry:
        base = registry.get(base_name)
        kind = registry.get(part['type']) if isinstance(part['type'], str) else part['type']
        if not _reads_alike(kind, base):
            return
        unusable = list(class_tuple(part))
        if scope == 'mmseg':
            unusable += labels.known_classes(part, kind)
        yield from unusable
        if not unusable:  # paths, names and defaults as the toolbox itself understands them
            dataset = registry.build(dict(part, lazy_init=True, pipeline=[]))
            yield from check(cfg.model, part, dataset, training)


def _reads_alike(kind: type | None, base: type) -> bool:
    return (
        kind is not None
        and issubclass(kind, base)
        and all(getattr(kind, n, None) is getattr(base, n, None) for n in _READERS)
    )
