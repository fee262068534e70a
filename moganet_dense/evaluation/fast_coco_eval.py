"""COCO's evaluation of boxes, masks and keypoints in C++ for the metrics of mmdet and mmpose.

Both toolboxes match predictions and count them in Python, by pycocotools and xtcocotools.
faster-coco-eval does it in C++ with the same results, see tests/evaluation/test_fast_coco_eval.py.
"""

import functools
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.fileio import dump
from mmengine.logging import print_log
from mmengine.registry import METRICS, DefaultScope

Listener = Callable[[BaseMetric, list, list[Any]], None]
"""Called with the metric after its evaluation, the results of all processes, and its COCOevals."""

MODULES = {
    'mmdet': 'mmdet.evaluation.metrics.coco_metric',
    'mmpose': 'mmpose.evaluation.metrics.coco_metric',
}
"""Modules of ``CocoMetric`` by the toolbox's scope."""

_KINDS = ('bbox', 'segm', 'keypoints')
_PARAMS = ('imgIds', 'catIds', 'useCats', 'iouThrs', 'recThrs', 'maxDets', 'areaRng', 'areaRngLbl')
_SHARE_OF_BOX = 0.53  # xtcocotools: area of a person whose annotation has none


@METRICS.register_module()
def FastCocoMetric(**options: Any) -> BaseMetric:
    """The toolbox's ``CocoMetric`` with the same options and results, evaluated in C++.

    The default scope decides the toolbox. Without faster-coco-eval it evaluates
    as the toolbox does, after a warning. Its attribute ``listeners`` is a list of
    :data:`Listener` that are called after every evaluation, in the first process.

    Raises:
        ValueError: the default scope is neither mmdet nor mmpose.
    """
    return class_of_scope()(**options)


def class_of_scope() -> type[BaseMetric]:
    """The class behind :func:`FastCocoMetric` for the default scope.

    Raises:
        ValueError: the default scope is neither mmdet nor mmpose.
    """
    scope = DefaultScope.get_current_instance()
    name = scope.scope_name if scope else None
    if name not in MODULES:
        raise ValueError(
            f'FastCocoMetric: expected a default_scope of {list(MODULES)}, found {name}'
        )
    return metric_class(name)


FastCocoMetric.built_class = class_of_scope  # for the check of its options


@functools.cache
def metric_class(scope: str) -> type[BaseMetric]:
    """The class behind :func:`FastCocoMetric` for mmdet or mmpose."""
    module = importlib.import_module(MODULES[scope])

    class FastCocoMetric(module.CocoMetric):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.listeners: list[Listener] = []

        def compute_metrics(self, results: list) -> dict[str, float]:
            evaluated: list[Any] = []
            with evaluating_by_ours(module, evaluated.append):
                metrics = super().compute_metrics(results)
            for listener in self.listeners:
                listener(self, results, evaluated)
            return metrics

    return FastCocoMetric


@contextmanager
def evaluating_by_ours(
    module: ModuleType, seen: Callable[[Any], None] = lambda _: None
) -> Iterator[None]:
    """Context in which ``CocoMetric`` of a module uses our COCOeval and a fast JSON writer.

    The toolboxes read both from the globals of their module (mmdet 3.3, mmpose 1.3), so these are
    replaced while a metric computes. Not needed once a version has an option for the evaluator.
    """
    before = dict(COCOeval=module.COCOeval, dump=module.dump)
    kind = module.COCOeval
    if find_spec('faster_coco_eval'):
        kind = in_cpp(kind)
    else:
        print_log(
            'faster-coco-eval is not installed: COCO evaluation gives the same results but takes '
            'several times as long; pip install faster-coco-eval',
            'current',
            level=logging.WARNING,
        )
    vars(module).update(COCOeval=listened_to(kind, seen), dump=_dump)
    try:
        yield
    finally:
        vars(module).update(before)


def _dump(rows: Any, file: str, **_: Any) -> None:
    """Writes the same JSON as mmengine's ``dump``, except for whitespace and the order of keys.

    json encodes in C if it encodes at once and without indentation, else in Python.
    """
    Path(file).write_text(dump(rows, file_format='json'), encoding='utf-8')


def listened_to(kind: type, seen: Callable[[Any], None]) -> type:
    """A ``COCOeval`` that is passed to ``seen`` after accumulation."""

    class Listened(kind):
        def accumulate(self, p: Any = None) -> None:
            super().accumulate(p)
            seen(self)

    return Listened


def in_cpp(original: type) -> type:
    """``original``, the ``COCOeval`` of pycocotools or xtcocotools, with its loops in C++.

    Arguments, parameters, summary and results are those of ``original``; types other than bbox,
    segm and keypoints are evaluated by ``original``. Its lists per image, ``evalImgs`` and
    ``ious``, are empty.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    class InCpp(original):
        def evaluate(self) -> None:
            if self.params.iouType not in _KINDS:
                return super().evaluate()
            truths, found, options = self.cocoGt.dataset, self.cocoDt.dataset, {}
            truths, found, numbers = numbered(truths, found)
            if self.params.iouType == 'keypoints':
                truths, found = _people(truths, self.use_area), _poses(found)
                options['kpt_oks_sigmas'] = self.sigmas
            fast = COCOeval_faster(COCO(truths), COCO(found), self.params.iouType, **options)
            _copy_params(self.params, fast.params)
            fast.params.imgIds = sorted(numbers[i] for i in set(self.params.imgIds))
            fast.evaluate()
            fast.accumulate()
            _copy_params(fast.params, self.params)  # sorted now
            names = {number: name for name, number in numbers.items()}
            self.params.imgIds = [names[number] for number in fast.params.imgIds]
            self.eval = fast.eval

        def accumulate(self, p: Any = None) -> None:
            if self.params.iouType not in _KINDS:
                super().accumulate(p)

    return InCpp


def _copy_params(source: Any, target: Any) -> None:
    for name in _PARAMS:
        setattr(target, name, getattr(source, name))


def numbered(truths: dict, found: dict) -> tuple[dict, dict, dict]:
    """Annotations and predictions with unambiguous ids.

    pycocotools treats the annotation id 0 as "not matched", and faster-coco-eval needs integer
    image ids. So annotations are numbered from 1, whatever their ids (0, negative, strings,
    missing, duplicate), and so are images if an id is not a number.

    Returns:
        both, and the number of each image by its id.
    """
    ids = [image['id'] for image in truths['images']]
    plain = all(type(i) is int for i in ids)
    numbers = {i: i if plain else k for k, i in enumerate(ids, 1)}

    def row(annotation: dict, number: int) -> dict:
        return dict(annotation, id=number, image_id=numbers[annotation['image_id']])

    def renumbered(content: dict) -> dict:
        kept = (a for a in content['annotations'] if a.get('image_id') in numbers)
        images = [dict(image, id=numbers[image['id']]) for image in content['images']]
        return content | dict(annotations=[row(a, k) for k, a in enumerate(kept, 1)], images=images)

    return renumbered(truths), renumbered(found), numbers


def _people(truths: dict, use_area: bool) -> dict:
    """Annotated people for xtcocotools: keypoints are counted, people without any are skipped. A
    missing area or 0 is replaced by a share of the box, as in mmpose's data sets."""
    return truths | dict(
        annotations=[
            dict(
                person,
                num_keypoints=sum(v > 0 for v in person['keypoints'][2::3]),
                area=area_of(person, use_area),
                iscrowd=person.get('iscrowd', 0),
                bbox=_box(person),
            )
            for person in truths['annotations']
            if person.get('keypoints')
        ]
    )


def area_of(person: dict, use_area: bool = True) -> float:
    """Area of an annotated person in pixels, for keypoint similarity: as annotated, or if
    missing or 0, 0.53 of the box, at least 1."""
    area = person.get('area')
    if use_area and isinstance(area, (int, float)) and area > 0:
        return area
    _, _, width, height = _box(person)
    return max(1.0, _SHARE_OF_BOX * width * height)


def _box(person: dict) -> list[float]:
    """The box, or that of the labelled keypoints."""
    if person.get('bbox'):
        return person['bbox']
    triples = zip(*(iter(person['keypoints']),) * 3, strict=True)
    labelled = [(x, y) for x, y, seen in triples if seen > 0] or [(0.0, 0.0)]
    xs, ys = zip(*labelled, strict=True)
    x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    return [x1, y1, x2 - x1, y2 - y1]


def _poses(found: dict) -> dict:
    """Predicted poses for xtcocotools, without those that have no keypoint."""
    poses = found['annotations']
    return found | dict(annotations=[p for p in poses if any(v > 0 for v in p['keypoints'][2::3])])
