"""Rejects options of ``predict`` that would have no effect or that contradict each other."""

from collections.abc import Sequence
from typing import Any

import click

from . import options

DETECTORS = ('detection', 'instance segmentation')
FORMATS = {
    'coco': (*DETECTORS, 'panoptic segmentation', 'pose', 'classification'),
    'csv': (*DETECTORS, 'segmentation', 'pose', 'classification'),
    'yolo': (*DETECTORS, 'segmentation', 'pose', 'classification'),
    'labelme': (*DETECTORS, 'segmentation', 'pose'),
}
"""Tasks whose results each format can have."""


def require_effect(given: Any) -> None:
    """Checks what does not depend on the model.

    Args:
        given: the arguments and options, by their names.

    Raises:
        UsageError: an option would have no effect.
    """
    if given.boxes_weights and not given.has_detector:
        raise click.UsageError('--boxes-weights needs a detector: --boxes MODEL')
    if given.overlap is not None and not given.tile:
        raise click.UsageError('--overlap is the overlap of tiles: add --tile PIXELS')
    if given.boxes is None:
        options.refuse('it needs --boxes, for a pose estimator', 'boxes_thr', 'boxes_class')
    if given.boxes == 'whole':
        options.refuse('with --boxes whole no box has a score', 'boxes_thr')
    if given.folder is None:
        options.refuse('with --json files are written only to --out DIR; add it', 'formats')
    if given.formats and 'coco' not in given.formats and not given.json:
        options.refuse('it is for predictions.json; add --format coco', 'masks')


def require_effect_of_runtime(given: Any, model: str) -> None:
    """Checks the options that only one of PyTorch and the runtime of exported files has.

    Raises:
        UsageError: an option would have no effect.
    """
    where = {given.runtime_of(model)}
    if given.has_detector:
        where.add(given.runtime_of(given.boxes))
    if 'torch' not in where:
        names = ('channels_last', 'no_cuda_graphs', 'trust_checkpoint')
        options.refuse('it is for PyTorch; an exported file takes none', *names)


def require_effect_on_task(given: Any, task: str, exported: bool) -> None:
    """Checks the options that some tasks alone have.

    Args:
        given: the arguments and options.
        task: of the model.
        exported: whether it is an exported file.

    Raises:
        UsageError: an option would have no effect.
    """
    if task not in ('instance segmentation', 'panoptic segmentation'):
        options.refuse(f'a model of {task} has no masks of objects', 'masks')
    if task in ('segmentation', 'classification', 'panoptic segmentation'):
        options.refuse(f'a model of {task} has no scores of objects', 'score_thr')
    if exported and task != 'pose':
        options.refuse('an exported file takes images one by one', 'batch_size')
    _require_formats(given.formats, task)


def _require_formats(formats: Sequence[str], task: str) -> None:
    for name in formats:
        if task not in FORMATS[name]:
            fitting = [other for other, tasks in FORMATS.items() if task in tasks]
            hint = f'; choose among {", ".join(fitting)}' if fitting else ''
            raise click.UsageError(f'--format {name} has no form for {task}{hint}')
