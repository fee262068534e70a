"""State dicts in checkpoint files of any origin, and the plain names of their tensors.

Training scripts store the weights under various keys, and wrappers add a prefix to every name:
``torch.save(dict(model=ddp.state_dict()))`` gives ``model`` and ``module.``. Pure functions of
mappings.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..utils.errors import UserError


class WeightsError(UserError, RuntimeError):
    """A weight file that cannot be read, or that does not match the model."""


KEYS = ('state_dict', 'model', 'model_state_dict', 'model_state', 'module', 'network', 'net',
        'student', 'params', 'weights')  # fmt: skip
"""Keys under which training scripts save weights, the usual ones first; others are found, too."""

_AVERAGED = re.compile(r'(^|[._])(ema|averaged?|swa|teacher|momentum_encoder)([._]|$)')
"""Keys and prefixes of an exponential moving average."""
_WRAPPERS = re.compile(r'(?<![^.])(module|_orig_mod|_fsdp_wrapped_module'
                       r'|_checkpoint_wrapped_module)\.')  # fmt: skip
"""Prefixes of DistributedDataParallel, torch.compile, FSDP and activation checkpointing."""


class StateDict(NamedTuple):
    """Tensors in a file.

    Attributes:
        key: their key in the file; '' for the top level.
        tensors: by name.
    """

    key: str
    tensors: Mapping[str, Any]

    @property
    def is_average(self) -> bool:
        """Whether they are an exponential moving average, by their key."""
        return averaged(self.key)


def averaged(name: str) -> bool:
    """Whether a key or a prefix is one of an exponential moving average."""
    return bool(_AVERAGED.search(name))


def state_dicts(checkpoint: Any) -> list[StateDict]:
    """All state dicts of a file, those under the usual keys first, averages last.

    mmengine swaps the average and the raw weights when it saves: its ``state_dict`` is the average,
    and ``ema_state_dict``, which counts its ``steps``, is not returned with it.

    Raises:
        WeightsError: there is none.
    """
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(f'expected a state dict, found {type(checkpoint).__name__}')
    if checkpoint and all(map(is_tensor, checkpoint.values())):
        return [StateDict('', checkpoint)]
    inner = {str(k): v for k, v in checkpoint.items() if _is_state_dict(v)}
    if 'state_dict' in inner and 'steps' in inner.get('ema_state_dict', {}):
        del inner['ema_state_dict']
    ranks = {key: rank for rank, key in enumerate(KEYS)}
    keys = sorted(inner, key=lambda key: (averaged(key), ranks.get(key, len(ranks))))
    if not keys and (tensors := {k: v for k, v in checkpoint.items() if is_tensor(v)}):
        return [StateDict('', tensors)]  # next to an epoch, for example
    if not keys:
        found = ', '.join(list(map(str, checkpoint))[:5]) or 'nothing'
        raise WeightsError(f'expected tensors under state_dict or at top level, found {found}')
    return [StateDict(key, inner[key]) for key in keys]


def main_state_dict(checkpoint: Any) -> StateDict:
    """The raw weights of a complete model, or its average if the file has nothing else.

    Raises:
        WeightsError: there are none.
    """
    return state_dicts(checkpoint)[0]


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(is_tensor, value.values()))


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor or an array."""
    return hasattr(value, 'shape') and hasattr(value, 'dtype')


def unwrapped(state: Mapping[str, Any], everywhere: bool = False) -> dict[str, Any]:
    """``state`` without the prefixes of wrappers.

    Args:
        state: tensors by name.
        everywhere: also inside names, if a part of the model was wrapped; else only at the start,
            since a model may have a child called ``module``.

    Raises:
        WeightsError: two names become one.
    """
    clean = {key: _unwrapped_name(str(key), everywhere) for key in state}
    if len(set(clean.values())) < len(clean):
        seen: dict[str, str] = {}
        for key, name in clean.items():
            if name in seen:
                raise WeightsError(f'two values of one tensor: {seen[name]} and {key}')
            seen[name] = key
    return {clean[key]: value for key, value in state.items()}


def _unwrapped_name(name: str, everywhere: bool) -> str:
    if everywhere:
        return _WRAPPERS.sub('', name)
    while found := _WRAPPERS.match(name):
        name = name[found.end() :]
    return name.replace('_orig_mod.', '')
