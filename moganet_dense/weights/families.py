"""How each family of published files names the tensors of the backbone.

====================  ==================================  =============================
family                top level                           keys
====================  ==================================  =============================
official (timm)       state_dict, maybe state_dict_ema    bare; head.weight, head.bias
OpenMixup             state_dict, meta                    backbone. or bare; head.fc.*;
                                                          EMA as flat ema_a_b_c entries
mmpretrain            state_dict                          backbone.; head.fc.*
detector, segmentor,  state_dict, meta                    backbone.; neck and heads
pose estimator
====================  ==================================  =============================

Below the prefix the names are the same everywhere: those of our backbone. Any key may
carry ``module.`` in front (saved from a parallel wrapper). Pure functions of mappings.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import UserError

CLASSIFIER = ('head.weight', 'head.bias', 'head.fc.weight', 'head.fc.bias')
"""The only keys that loading a backbone from a classification file leaves out."""

_DOWNSTREAM = {
    'detector': ('rpn_head.', 'roi_head.', 'bbox_head.'),
    'segmentor': ('decode_head.', 'auxiliary_head.'),
    'pose estimator': ('keypoint_head.', 'head.deconv_layers.', 'head.final_layer.'),
}


class WeightsError(UserError, RuntimeError):
    """A weight file that cannot be read, or that does not fit the model."""


class BackboneState(NamedTuple):
    """Tensors of a backbone under our names, with what they came from.

    Attributes:
        tensors: name to tensor.
        origin: family, for people.
        ignored: keys of heads that were left out.
    """

    tensors: dict[str, Any]
    origin: str
    ignored: list[str]


def backbone_state(checkpoint: Mapping[str, Any], names: Iterable[str], ema: bool) -> BackboneState:
    """Picks the backbone out of a published file of any family.

    Args:
        checkpoint: what the file holds.
        names: parameter names of the backbone, needed to undo OpenMixup's flat EMA names.
        ema: take the exponential moving average instead of the raw weights.

    Returns:
        the tensors under our names. Keys that are neither of the backbone nor of a known
        head stay in, so that strict loading reports them.

    Raises:
        WeightsError: no state dict in the file, or no EMA weights though asked for.
    """
    state = _pick(checkpoint, ema)
    flat = {key: value for key, value in state.items() if key.startswith('ema_')}
    state = {key: value for key, value in state.items() if key not in flat}
    if ema and 'state_dict_ema' not in checkpoint:
        state.update(_unflatten(flat, names, prefixed=_has_prefix(state)))
    task, heads = _heads_of(state)
    ignored = [key for key in state if key in CLASSIFIER or key.startswith(heads)]
    tensors = {_strip(key, 'backbone.'): state[key] for key in state if key not in ignored}
    if task != 'classifier':
        origin = task
    elif any(key.startswith('head.fc.') for key in ignored) or _has_prefix(state):
        origin = 'OpenMixup or mmpretrain classifier'
    else:
        origin = 'official classifier'
    return BackboneState(tensors, origin, ignored)


def _pick(checkpoint: Mapping[str, Any], ema: bool) -> dict[str, Any]:
    """The state dict inside a file, without ``module.`` in front of its keys."""
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(f'expected a state dict, found {type(checkpoint).__name__}')
    state = checkpoint.get('state_dict', checkpoint)
    if ema:
        state = checkpoint.get('state_dict_ema', state)
    if not isinstance(state, Mapping) or not state or not all(map(_is_tensor, state.values())):
        found = ', '.join(list(map(str, checkpoint))[:5]) or 'nothing'
        raise WeightsError(f'expected tensors under state_dict or at top level, found {found}')
    return {_strip(str(key), 'module.'): value for key, value in state.items()}


def _is_tensor(value: Any) -> bool:
    return hasattr(value, 'shape') and hasattr(value, 'dtype')


def _strip(key: str, prefix: str) -> str:
    return key[len(prefix) :] if key.startswith(prefix) else key


def _has_prefix(state: Mapping[str, Any]) -> bool:
    return any(key.startswith('backbone.') for key in state)


def _unflatten(flat: Mapping[str, Any], names: Iterable[str], prefixed: bool) -> dict[str, Any]:
    """EMA parameters of OpenMixup: ``ema_backbone_a_b_c`` stands for ``backbone.a.b.c``.

    Buffers have no average there and are taken from the raw state dict.
    """
    averaged = {}
    for name in names:
        tail = name.replace('.', '_')
        value = flat.get(f'ema_backbone_{tail}', flat.get(f'ema_{tail}'))
        if value is None:
            raise WeightsError(f'the file has no EMA weights (of {name}); load it with ema=False')
        averaged[f'backbone.{name}' if prefixed else name] = value
    return averaged


def _heads_of(state: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Task of the model that was saved, and the prefixes of its parts around the backbone."""
    for task, heads in _DOWNSTREAM.items():
        if any(key.startswith(heads) for key in state):
            return task, (*heads, 'neck.')
    return 'classifier', ()


def model_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """State dict of a whole model under the names of the current toolboxes.

    mmdet 2.x and mmseg 0.x named everything as their successors do; mmpose 0.x called the
    head ``keypoint_head``.

    Raises:
        WeightsError: no state dict in the file.
    """
    state = _pick(checkpoint, ema=False)
    old = 'keypoint_head.'
    return {('head.' + _strip(k, old) if k.startswith(old) else k): v for k, v in state.items()}
