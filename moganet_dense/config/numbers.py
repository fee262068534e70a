"""Checks the numbers of a config that are computed with before or in a training: a text such as
``'1e-4'``, from quotes on the command line or in a file, would fail in a library."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..utils.errors import UserError

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_OF_SCHEDULES = (
    'begin', 'end', 'T_max', 'step_size', 'gamma', 'start_factor', 'end_factor', 'factor', 'power',
    'eta_min', 'eta_min_ratio', 'eta_max', 'total_steps', 'pct_start',
)  # fmt: skip
_OF_OPTIMIZERS = ('weight_decay', 'momentum', 'dampening', 'eps', 'alpha')


class _Rule(NamedTuple):
    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _is_whole(value: Any, least: int) -> bool:
    return _is_number(value) and isinstance(value, int) and value >= least


def _is_length(value: Any) -> bool:
    """1e5 is one, too, for mmengine."""
    return _is_number(value) and value >= 1 and float(value).is_integer()


_NUMBER = _Rule('a number', _is_number)
_OPTIONAL = _Rule('a number', lambda value: value is None or _is_number(value))
_RATE = _Rule(
    'a number of 0 or more', lambda value: _is_number(value) and value >= 0 and math.isfinite(value)
)
_COUNT = _Rule('a whole number of 1 or more', lambda value: _is_whole(value, 1))
_LENGTH = _Rule('a whole number of 1 or more', _is_length)
_COUNT_FROM_0 = _Rule('a whole number of 0 or more', lambda value: _is_whole(value, 0))
_INTERVAL = _Rule('a whole number', lambda value: _is_whole(value, -1))
_SEED = _Rule('a whole number', lambda value: value is None or _is_whole(value, 0))


def require_numbers(cfg: Mapping[str, Any]) -> None:
    """Checks lengths, batches, workers, intervals, seeds, and the numbers of optimizers and
    schedules.

    Args:
        cfg: a config of any task; what it does not have is not checked.

    Raises:
        UserError: one is not a number, or out of its range.
    """
    for key, value, rule in _numbers(cfg):
        if not rule.holds(value):
            raise UserError(f'expected {key} to be {rule.words}, found {value!r}{unquoted(value)}')


def unquoted(value: Any) -> str:
    """What to do about a text that is a number, for the end of a message; '' for others."""
    return '; write it without quotes' if is_number_as_text(value) else ''


def is_number_as_text(value: Any) -> bool:
    """Whether a value is a text such as '1e-4'."""
    if not isinstance(value, str) or '_' in value:
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _numbers(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any, _Rule]]:
    """Key, value and rule of each number."""
    for loader in _LOADERS:
        yield from _of(cfg, loader, batch_size=_COUNT, num_workers=_COUNT_FROM_0)
    yield from _of(cfg, 'train_cfg', max_epochs=_LENGTH, max_iters=_LENGTH, val_interval=_NUMBER)
    yield from _of(cfg, 'randomness', seed=_SEED)
    yield from _of(cfg, 'optim_wrapper', accumulative_counts=_COUNT)
    rules = dict.fromkeys(_OF_OPTIMIZERS, _NUMBER)
    yield from _of(_part(cfg, 'optim_wrapper'), 'optimizer', 'optim_wrapper.', lr=_RATE, **rules)
    hooks = _part(cfg, 'default_hooks')
    for name in hooks:
        yield from _of(hooks, name, 'default_hooks.', interval=_INTERVAL)
    schedules = cfg.get('param_scheduler') or []
    for i, schedule in enumerate(schedules if isinstance(schedules, (list, tuple)) else []):
        rules = dict.fromkeys(_OF_SCHEDULES, _OPTIONAL)
        yield from _of({str(i): schedule}, str(i), 'param_scheduler.', **rules)


def _part(cfg: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = cfg.get(name)
    return part if isinstance(part, Mapping) else {}


def _of(
    cfg: Mapping[str, Any], name: str, place: str = '', **rules: _Rule
) -> Iterator[tuple[str, Any, _Rule]]:
    part = _part(cfg, name)
    for key, rule in rules.items():
        if key in part:
            yield f'{place}{name}.{key}', part[key], rule
