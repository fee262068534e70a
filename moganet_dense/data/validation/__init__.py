"""Compares a config with its data before training starts.

A finding is one line: what was expected, what was found, and the fix. Each function of
``coco_annotations``, ``label_maps``, ``objects`` and ``common`` checks one rule and yields its
findings; ``image_files`` decodes every image and label map, which takes longer. Remote data sets
and data set classes with their own reader are not checked.
"""

from collections.abc import Iterator, Sequence

from mmengine.config import Config
from mmengine.registry import DATASETS

from ...utils.errors import UserError, reason_of
from ..data_summary import Summary
from ..layouts import full_path, innermost, require_files
from . import coco_annotations, label_maps
from .common import class_tuple, metric_file
from .config_rules import contradictions
from .findings import Finding, Report
from .heatmap_rules import heatmap_rules
from .image_files import ImageSpec, check_images
from .metric_rules import metric_rules
from .other_formats import named

_CHECKS = {
    'mmdet': ('CocoDataset', coco_annotations.check_boxes),
    'mmpose': ('BaseCocoStyleDataset', coco_annotations.check_keypoints),
    'mmseg': ('BaseSegDataset', label_maps.check_labels),
}
"""By toolbox: the supported data set class, and the function that checks it."""

_READERS = ('load_data_list', 'parse_data_info', '_load_annotations', 'COCOAPI')
"""Methods that a subclass must not override to be supported."""


def check_before_training(cfg: Config) -> Summary:
    """Raises the first finding in the config and the data of training and validation.

    Reads each annotation file once (seconds for COCO), and a few images and label maps.

    Returns:
        the number of images and instances that are used, and dropped with their reasons.

    Raises:
        UserError: files are missing, cannot be read, or do not match the config.
    """
    summary = Summary()
    for finding in all_findings(cfg, summary=summary):
        raise UserError(finding)
    return summary


def check_before_testing(cfg: Config) -> None:
    """:func:`check_before_training` for the data of testing, which may have no annotations.

    Raises:
        UserError: as there.
    """
    for finding in all_findings(cfg, ('test',)):
        raise UserError(finding)


def check_all(cfg: Config) -> Report:
    """Checks every annotation and every file of training and validation.

    Raises:
        UserError: no data set of the config is supported.
    """
    report, images = Report(), []
    try:
        for finding in all_findings(cfg, images=images, summary=report.summary):
            report.add([finding if isinstance(finding, Finding) else Finding(finding)])
    except UserError as error:
        report.add([Finding(str(error))])
    except Exception as error:
        if not report.number('error'):
            raise
        reason = f'{reason_of(error)} [{type(error).__name__}]'  # probably of the first error
        report.add([Finding(f'the rest cannot be checked until this is fixed ({reason})')])
    report.add(check_images(images))
    if not images and not report.counts:
        raise UserError(
            f'expected data sets of {", ".join(_CHECKS)} on this machine, as the toolboxes '
            'themselves read them, found none; there is nothing to check'
        )
    report.images = len(images)
    return report


def all_findings(
    cfg: Config,
    splits: Sequence[str] = ('train', 'val'),
    images: list[ImageSpec] | None = None,
    summary: Summary | None = None,
) -> Iterator[str | Finding]:
    """All findings, one line each.

    Args:
        cfg: the config.
        splits: which of train, val and test.
        images: if given, all findings of annotations are reported instead of the first error
            of each file, and all images are added to it.
        summary: if given, the summary of each data set is added to it.

    Raises:
        UserError: a file is missing or cannot be read, so the rest cannot be checked.
    """
    summary = Summary() if summary is None else summary
    with DATASETS.switch_scope_and_registry(cfg.default_scope):
        of_config = list(contradictions(cfg, splits))
    yield from of_config
    if cfg.default_scope == 'mmpose' and 'train' in splits:
        yield from heatmap_rules(cfg)
    for split in splits:
        loader = f'{split}_dataloader'
        if not cfg.get(loader):
            continue
        if cfg.get(f'{split}_evaluator'):
            yield from metric_rules(cfg, split)
        _require_files(cfg[loader].dataset, cfg.default_scope)
        parts = list(innermost(cfg[loader].dataset))
        for part in parts:
            for finding in _of_data_set(cfg, part, split, images, summary):
                yield finding if isinstance(finding, Finding) else f'{loader}: {finding}'
        if split != 'train' and len(parts) == 1:
            yield from metric_file(cfg.get(f'{split}_evaluator'), parts[0], split)


def _require_files(dataset: dict, scope: str) -> None:
    """Checks that the files exist; if not, looks for data in another format."""
    try:
        require_files(dataset, scope)
    except UserError as error:
        roots = [part.get('data_root') for part in innermost(dataset) if part.get('data_root')]
        hints = filter(None, map(named, roots))
        raise UserError(f'{error}{next(hints, "")}') from None


def _of_data_set(
    cfg: Config, part: dict, split: str, images: list[ImageSpec] | None, summary: Summary
) -> Iterator[str | Finding]:
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
        if scope == 'mmpose':
            unusable += coco_annotations.described_keypoints(part)
        if scope == 'mmseg':
            unusable += label_maps.known_classes(part, kind)
        yield from unusable
        if not unusable:  # paths, names and defaults as the toolbox resolves them
            dataset = registry.build(dict(part, lazy_init=True, pipeline=[]))
            yield from check(cfg, part, dataset, split, images, summary)


def _reads_alike(kind: type | None, base: type) -> bool:
    if kind is None or not issubclass(kind, base):
        return False
    same = all(getattr(kind, n, None) is getattr(base, n, None) for n in _READERS)
    return same or getattr(kind, 'rows_are_checked', False)
