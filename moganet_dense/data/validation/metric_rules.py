"""Checks names of metrics before training: those of the evaluator against the model, and those of
``save_best`` and similar options against the evaluator."""

from collections.abc import Iterator
from typing import Any

from ...utils.suggest import did_you_mean
from .common import listed, part_of

_DET = ('bbox', 'segm', 'proposal', 'proposal_fast')
_SIZES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_RECALLS = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
_POSE = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5', 'AR .75', 'AR (M)', 'AR (L)')
_SEG = {
    'mIoU': ('mIoU',),
    'mDice': ('mDice',),
    'mFscore': ('mFscore', 'mPrecision', 'mRecall'),
}


def metric_rules(cfg: Any, split: str) -> Iterator[str]:
    """One line per metric name that the evaluator of a split does not compute."""
    metrics = cfg.get(f'{split}_evaluator') or []
    metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    for metric in metrics:
        yield from _of_model(metric, cfg.get('model') or {}, split, cfg.default_scope)
    names = [metric_names(metric, cfg.default_scope) for metric in metrics]
    if split == 'val' and names and None not in names:
        yield from _monitored(cfg, [name for given in names for name in given])


def metric_names(metric: dict, scope: str) -> list[str] | None:
    """The names of the values of a metric; None: unknown."""
    kind = _kind(metric)
    if (scope, kind) == ('mmdet', 'CocoMetric') and not metric.get('classwise'):
        given, names = _as_list(metric.get('metric', 'bbox')), []
        for one in given:
            if one in ('proposal', 'proposal_fast'):
                names += (
                    list(_RECALLS) if one == 'proposal' else [f'AR@{n}' for n in (100, 300, 1000)]
                )
            else:
                names += [f'{one}_{size}' for size in _SIZES]
        return [_prefixed(metric, 'coco', name) for name in names]
    if (scope, kind) == ('mmpose', 'CocoMetric'):
        return [_prefixed(metric, 'coco', name) for name in _POSE]
    if (scope, kind) == ('mmseg', 'IoUMetric'):
        given = _as_list(metric.get('iou_metrics', ['mIoU']))
        names = ['aAcc', *(n for one in given for n in _SEG.get(one, (one,)))]
        names += ['mAcc'] * bool({'mIoU', 'mDice'} & set(given))
        return [_prefixed(metric, '', name) for name in names]
    return None


def _kind(metric: dict) -> str:
    """The toolbox's metric, of which ours is a subclass."""
    return str(metric.get('type')).removeprefix('Fast')


def _as_list(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _prefixed(metric: dict, default: str, name: str) -> str:
    prefix = metric.get('prefix') or default
    return f'{prefix}/{name}' if prefix else name


def _of_model(metric: dict, model: dict, split: str, scope: str) -> Iterator[str]:
    """Metrics that do not exist, or need outputs that the model lacks."""
    kind, path = _kind(metric), f'{split}_evaluator'
    if (scope, kind) == ('mmdet', 'CocoMetric'):
        given = _as_list(metric.get('metric', 'bbox'))
        for one in given:
            if one not in _DET:
                yield (
                    f'{path}: expected metric of {listed(_DET)}, found {one!r}'
                    f'{did_you_mean(one, _DET)}'
                )
        if 'segm' in given and _gives_boxes_only(model):
            rest = [one for one in given if one != 'segm'] or ['bbox']
            yield (
                f'{path}: expected metrics of boxes, as {model.get("type")} has no mask head, '
                f"found 'segm'; set metric={rest[0] if len(rest) == 1 else rest!r}"
            )
    elif (scope, kind) == ('mmseg', 'IoUMetric'):
        for one in _as_list(metric.get('iou_metrics', ['mIoU'])):
            if one not in _SEG:
                yield (
                    f'{path}: expected iou_metrics of {listed(_SEG)}, found {one!r}'
                    f'{did_you_mean(one, _SEG)}'
                )
    elif (scope, kind) == ('mmdet', 'IoUMetric') or (scope == 'mmseg' and kind == 'CocoMetric'):
        yield f"{path}: expected a metric of {scope} models, found {kind}; use the base config's"


def _gives_boxes_only(model: dict) -> bool:
    """Whether it is a detector with box heads only."""
    boxes = part_of(model, 'bbox_head') or part_of(model, 'roi_head.bbox_head')
    masks = part_of(model, 'mask_head') or part_of(model, 'roi_head.mask_head')
    kind = (
        str((part_of(model, 'bbox_head') or {}).get('type', '')) if isinstance(boxes, dict) else ''
    )
    return bool(boxes) and not masks and not any(w in kind for w in ('Ins', 'Mask', 'Yolact'))


def _monitored(cfg: Any, names: list[str]) -> Iterator[str]:
    """``save_best`` of the checkpoint hook, ``monitor`` of early stopping and of schedules."""
    hooks = cfg.get('default_hooks') or {}
    best = _as_list((hooks.get('checkpoint') or {}).get('save_best'))
    places = [('default_hooks.checkpoint.save_best', one) for one in best]
    for i, hook in enumerate(cfg.get('custom_hooks') or []):
        if hook.get('type') == 'EarlyStoppingHook':
            places.append((f'custom_hooks[{i}].monitor', hook.get('monitor')))
    for i, schedule in enumerate(_as_list(cfg.get('param_scheduler') or [])):
        if isinstance(schedule, dict) and str(schedule.get('type', '')).startswith(
            'ReduceOnPlateau'
        ):
            places.append((f'param_scheduler[{i}].monitor', schedule.get('monitor')))
    for place, found in places:
        if found not in (None, 'auto', *names):
            ending = [name for name in names if str(found) == name.rpartition('/')[2]]
            hint = f'; did you mean {ending[0]!r}?' if ending else did_you_mean(found, names)
            yield f'expected {place} of {listed(names)}, which are evaluated, found {found!r}{hint}'
