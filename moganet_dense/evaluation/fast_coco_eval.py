"""COCO's evaluation of boxes, masks and keypoints in C++ for the metrics of mmdet and mmpose.

Both toolboxes match predictions and count them in Python, by pycocotools and xtcocotools.
faster-coco-eval does it in C++, with the same numbers: tests/evaluation/test_fast_coco_eval.py.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.fileio import dump
from mmengine.logging import print_log

METRICS = ('mmdet.evaluation.metrics.coco_metric', 'mmpose.evaluation.metrics.coco_metric')
"""Modules whose ``CocoMetric`` evaluates by the ``COCOeval`` that they imported."""

_KINDS = ('bbox', 'segm', 'keypoints')
_PARAMS = ('imgIds', 'catIds', 'useCats', 'iouThrs', 'recThrs', 'maxDets', 'areaRng', 'areaRngLbl')
_SHARE_OF_BOX = 0.53  # xtcocotools: area of a person whose annotation has none


@contextmanager
def fast_coco_eval() -> Iterator[None]:
    """Within, metrics of COCO that are imported by then evaluate in C++ and write at once.

    Without faster-coco-eval they evaluate as they would have, after a warning.
    """
    modules = [sys.modules[name] for name in METRICS if name in sys.modules]
    before = [(module, dict(COCOeval=module.COCOeval, dump=module.dump)) for module in modules]
    installed = find_spec('faster_coco_eval')
    if modules and not installed:
        print_log(
            'faster-coco-eval is not installed: COCO evaluation gives the same numbers and takes '
            'several times as long; pip install faster-coco-eval',
            'current',
            level=logging.WARNING,
        )
    for module in modules:
        module.dump = _dump
        if installed:
            module.COCOeval = in_cpp(module.COCOeval)
    try:
        yield
    finally:
        for module, names in before:
            vars(module).update(names)


def _dump(rows: Any, file: str, **_: Any) -> None:
    """Writes the JSON that mmengine's ``dump`` would, but for blanks and the order of keys.

    json encodes in C what it encodes at once and without indentation, and in Python the rest.
    """
    Path(file).write_text(dump(rows, file_format='json'))


def in_cpp(original: type) -> type:
    """``original``, the ``COCOeval`` of pycocotools or xtcocotools, with its loops in C++.

    Arguments, parameters, summary and numbers stay those of ``original``; so does all that it
    does for kinds of evaluation other than bbox, segm and keypoints. What is left empty are its
    lists of single images, ``evalImgs`` and ``ious``.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    accumulate = original.accumulate  # as it is now: who watches both classes is told once

    class InCpp(original):
        def evaluate(self) -> None:
            if self.params.iouType not in _KINDS:
                return super().evaluate()
            truths, found, options = self.cocoGt.dataset, self.cocoDt.dataset, {}
            if self.params.iouType == 'keypoints':
                truths, found = _persons(truths, self.use_area), _poses(found)
                options['kpt_oks_sigmas'] = self.sigmas
            fast = COCOeval_faster(COCO(truths), COCO(found), self.params.iouType, **options)
            _copy_params(self.params, fast.params)
            fast.evaluate()
            fast.accumulate()
            _copy_params(fast.params, self.params)  # sorted now
            self.eval = fast.eval

        def accumulate(self, p=None) -> None:
            if self.params.iouType not in _KINDS:
                accumulate(self, p)

    return InCpp


def _copy_params(source: Any, target: Any) -> None:
    for name in _PARAMS:
        setattr(target, name, getattr(source, name))


def _persons(truths: dict, use_area: bool) -> dict:
    """Annotated persons as xtcocotools takes them: joints are counted, the id 0 is an id."""
    return truths | dict(
        annotations=[
            dict(
                person,
                id=number,
                num_keypoints=sum(v > 0 for v in person['keypoints'][2::3]),
                area=person['area']
                if use_area
                else _SHARE_OF_BOX * person['bbox'][2] * person['bbox'][3],
            )
            for number, person in enumerate(truths['annotations'], 1)
        ]
    )


def _poses(found: dict) -> dict:
    """Predicted poses as xtcocotools takes them: without those that have no joint."""
    poses = found['annotations']
    return found | dict(annotations=[p for p in poses if any(v > 0 for v in p['keypoints'][2::3])])
