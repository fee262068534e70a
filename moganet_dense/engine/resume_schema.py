"""The schema of a checkpoint to resume from, checked before anything is built.

The file contains plain data (see :mod:`~moganet_dense.weights.loading`). Here its containers are
bounded, since shared ones may expand to any size and some contain themselves, and the types and
ranges of every restored part are checked.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from ..utils.printable import printable
from ..weights.state_dicts import WeightsError

DEPTH = 64
"""Maximum nesting depth of containers."""
VALUES = 1_000_000
"""Maximum number of values in all containers, counting every reference."""
TEXT = 1 << 26
"""Maximum number of characters in all strings."""
HISTORY = 10_000_000
"""Maximum size of an array or history other than the tensors of the model."""
COUNTER = 1 << 53
"""Upper bound of iterations, epochs and batches."""

_SCALARS = (str, int, float, bool, bytes, type(None), complex)
_LEAVES = (torch.Tensor, np.ndarray, np.generic, HistoryBuffer, torch.dtype, torch.device)


def check_schema(content: Mapping[str, Any], trusted: bool = False) -> None:
    """Checks a checkpoint of a training.

    Args:
        content: of the file.
        trusted: it may contain values of any type.

    Raises:
        WeightsError: names the first malformed part, with the expected and the found value.
    """
    _check_bounds(content, trusted)
    _check_tensors('state_dict', content['state_dict'], least=1)
    _check_meta(content['meta'])
    _check_message_hub(content['message_hub'])
    for place, part in _by_optimizer('optimizer', content['optimizer'], 'param_groups'):
        _check_optimizer(place, part)
    for place, part in _by_optimizer('param_schedulers', content.get('param_schedulers'), None):
        _check_schedulers(place, part)
    for name in ('ema_state_dict', 'gradients'):
        if name in content:
            _check_tensors(name, content[name])


def _malformed(place: str, expected: str, found: Any) -> WeightsError:
    words = found if isinstance(found, str) else f'{type(found).__name__} {str(found)[:40]!r}'
    return WeightsError(
        f'cannot resume: {printable(place, 200)}: expected {expected}, found '
        f'{printable(words, 200)}'
    )


def _check_bounds(content: Any, trusted: bool) -> None:
    left, text = VALUES, TEXT
    stack = [(content, 0)]
    while stack:
        value, depth = stack.pop()
        left -= 1
        if isinstance(value, (str, bytes)):
            text -= len(value)
        if left < 0 or text < 0:
            raise WeightsError(
                f'cannot resume: expected at most {VALUES} values and {TEXT} characters, found '
                'more: do containers share others many times?'
            )
        if isinstance(value, (Mapping, list, tuple, set)):
            if depth == DEPTH:
                raise WeightsError(
                    f'cannot resume: expected containers at most {DEPTH} deep, found deeper ones: '
                    'do they contain themselves?'
                )
            if isinstance(value, Mapping):
                stack += [(part, depth + 1) for pair in value.items() for part in pair]
            else:
                stack += [(part, depth + 1) for part in value]
        elif not trusted and not isinstance(value, _SCALARS + _LEAVES):
            raise _malformed('a value', 'plain data', value)


def _check_mapping(place: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _malformed(place, 'a dict with names', value)


def _check_tensors(place: str, value: Any, least: int = 0) -> None:
    _check_mapping(place, value)
    if len(value) < least:
        raise _malformed(place, 'tensors', 'none')
    for name, tensor in value.items():
        if not isinstance(tensor, torch.Tensor):
            raise _malformed(f'{place}.{name}', 'a tensor', tensor)


def _check_meta(meta: Any) -> None:
    _check_mapping('meta', meta)
    for name in ('epoch', 'iter'):
        _check_count(f'meta.{name}', meta.get(name))
    if ('batches' in meta) != ('batches_done' in meta):
        raise _malformed('meta', 'batches and batches_done', 'one of them')
    if 'batches' in meta:
        _check_count('meta.batches', meta['batches'])
        end = max(meta['batches'], meta['iter'])  # iteration-based loops count beyond the end
        _check_count('meta.batches_done', meta['batches_done'], end + 1)
    if meta.get('seed') is not None:
        _check_count('meta.seed', meta['seed'], 1 << 32)


def _check_count(place: str, value: Any, end: int = COUNTER) -> None:
    if type(value) is not int or not 0 <= value < end:
        raise _malformed(place, f'an integer from 0 to {end - 1}', value)


def _check_message_hub(hub: Any) -> None:
    _check_mapping('message_hub', hub)
    for name in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if name not in hub:
            raise _malformed('message_hub', name, 'none')
        _check_mapping(f'message_hub.{name}', hub[name])
    for name, value in hub['log_scalars'].items():
        _check_history(f'message_hub.log_scalars.{name}', value)
    for name, value in hub['resumed_keys'].items():
        if type(value) is not bool:
            raise _malformed(f'message_hub.resumed_keys.{name}', 'True or False', value)


def _check_history(place: str, value: Any) -> None:
    if isinstance(value, HistoryBuffer):
        arrays, length = value.data, value.max_length
    else:
        history = value.get('history') if isinstance(value, Mapping) else None
        if not isinstance(history, Mapping) or set(history) != {'log', 'count', 'max_length'}:
            raise _malformed(place, 'a history', value)
        arrays, length = (history['log'], history['count']), history['max_length']
    _check_count(f'{place}.max_length', length)
    for array in arrays:
        if not isinstance(array, (torch.Tensor, np.ndarray)) or array.ndim != 1:
            raise _malformed(place, 'rows of numbers', array)
    if len({len(array) for array in arrays}) != 1 or len(arrays[0]) > HISTORY:
        sizes = ' and '.join(str(len(array)) for array in arrays)
        raise _malformed(place, f'as many numbers as counts, at most {HISTORY}', sizes)


def _by_optimizer(place: str, value: Any, mark: str | None) -> Iterator[tuple[str, Any]]:
    """Parts of a checkpoint with one optimizer, or several by name."""
    named = isinstance(value, Mapping) and (mark is None or mark not in value)
    if not named:
        yield place, value
        return
    for name, part in value.items():
        yield f'{place}.{name}', part


def _check_optimizer(place: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _malformed(place, 'a dict', value)
    groups, state = value.get('param_groups'), value.get('state')
    if not isinstance(groups, list) or not groups:
        raise _malformed(f'{place}.param_groups', 'a list of groups', groups)
    numbers: list[int] = []
    for i, group in enumerate(groups):
        _check_mapping(f'{place}.param_groups.{i}', group)
        parameters = group.get('params')
        if not isinstance(parameters, list) or any(type(p) is not int for p in parameters):
            raise _malformed(f'{place}.param_groups.{i}.params', 'a list of numbers', parameters)
        for name in ('lr', 'initial_lr', 'weight_decay'):
            if name in group:
                _check_number(f'{place}.param_groups.{i}.{name}', group[name])
        numbers += parameters
    if sorted(numbers) != list(range(len(numbers))):
        raise _malformed(f'{place}.param_groups', 'each parameter once', 'others')
    if not isinstance(state, Mapping):
        raise _malformed(f'{place}.state', 'a dict', state)
    for number, values in state.items():
        if type(number) is not int or not 0 <= number < len(numbers):
            raise _malformed(f'{place}.state', f'numbers of {len(numbers)} parameters', number)
        _check_mapping(f'{place}.state.{number}', values)


def _check_number(place: str, value: Any) -> None:
    number = value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value
    plain = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not plain or not abs(number) < float('inf'):
        raise _malformed(place, 'a finite number', value)


def _check_schedulers(place: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list):
        raise _malformed(place, 'a list of schedules', value)
    for i, state in enumerate(value):
        _check_mapping(f'{place}.{i}', state)
        for name in ('last_step', '_global_step'):
            if name in state:
                _check_count(f'{place}.{i}.{name}', state[name])
