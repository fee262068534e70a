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
birder                bare, or state                      other names, see ``birder_names``
====================  ==================================  =============================

Below the prefix the names are the same everywhere but for birder's: those of our backbone. Any key
may carry ``module.`` in front (saved from a parallel wrapper). Pure functions of mappings.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..utils.errors import UserError
from .birder_names import from_birder, is_birder

CLASSIFIER = ('head.weight', 'head.bias', 'head.fc.weight', 'head.fc.bias')
"""The only keys that loading a backbone from a classification file leaves out."""

_PARTS = ('patch_embed', 'blocks', 'norm')  # of the backbone, as its names begin

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
    state, names = _pick(checkpoint, ema), list(names)
    prefixed = _has_prefix(state)
    flat = _flat_names(names, [key for key in state if key in CLASSIFIER], prefixed)
    averages = {flat[key]: state.pop(key) for key in list(state) if key in flat}
    if ema and 'state_dict_ema' not in checkpoint:
        wanted = [f'backbone.{name}' if prefixed else name for name in names]
        if missing := [name for name in wanted if name not in averages]:
            raise WeightsError(
                f'the file has no EMA weights of {len(missing)} parameters, first {missing[0]}; '
                'load it with ema=False'
            )
        state.update(averages)  # parameters: buffers have no average there
    task, heads = _heads_of(state)
    ignored = [key for key in state if key in CLASSIFIER or key.startswith(heads)]
    tensors = _stripped({key: state[key] for key in state if key not in ignored}, 'backbone.')
    if task != 'classifier':
        origin = task
    elif any(key.startswith('head.fc.') for key in ignored) or prefixed:
        origin = 'OpenMixup or mmpretrain classifier'
    else:
        origin = 'official classifier'
    return BackboneState(tensors, origin, ignored)


def _pick(checkpoint: Mapping[str, Any], ema: bool) -> dict[str, Any]:
    """The state dict inside a file, without ``module.`` in front of its keys."""
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(f'expected a state dict, found {type(checkpoint).__name__}')
    if 'state_dict_ema' in checkpoint and 'state_dict' not in checkpoint and not ema:
        raise WeightsError('the file holds EMA weights only; load it with ema=True')
    state = checkpoint.get('state_dict', checkpoint)
    if isinstance(inner := checkpoint.get('state'), Mapping) and is_birder(inner):
        state = inner
    if ema:
        state = checkpoint.get('state_dict_ema', state)
    if not isinstance(state, Mapping) or not state or not all(map(_is_tensor, state.values())):
        found = ', '.join(list(map(str, checkpoint))[:5]) or 'nothing'
        raise WeightsError(f'expected tensors under state_dict or at top level, found {found}')
    state = _stripped(state, 'module.')
    return from_birder(state) if is_birder(state) else state


def _is_tensor(value: Any) -> bool:
    return hasattr(value, 'shape') and hasattr(value, 'dtype')


def _stripped(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """``state`` without ``prefix`` in front of its keys; no two keys may become one."""
    stripped = {str(key).removeprefix(prefix): value for key, value in state.items()}
    if len(stripped) < len(state):
        twice = next(key for key in state if prefix + str(key) in state)
        raise WeightsError(f'two values of one tensor: {twice} and {prefix}{twice}')
    return stripped


def _has_prefix(state: Mapping[str, Any]) -> bool:
    return any(key.startswith('backbone.') for key in state)


def _flat_names(names: Iterable[str], heads: Iterable[str], prefixed: bool) -> dict[str, str]:
    """OpenMixup's flat name of each parameter's average, and the name that it stands for:
    ``ema_backbone_a_b_c`` for ``backbone.a.b.c``, with or without ``backbone``."""
    flat = {}
    for name in names:
        full = f'backbone.{name}' if prefixed else name
        for infix in ('backbone.', ''):
            flat['ema_' + (infix + name).replace('.', '_')] = full
    return flat | {'ema_' + head.replace('.', '_'): head for head in heads}


def _heads_of(state: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Task of the model that was saved, and the prefixes of its parts around the backbone."""
    for task, heads in _DOWNSTREAM.items():
        if any(key.startswith(heads) for key in state):
            return task, (*heads, 'neck.')
    return 'classifier', ()


def model_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """State dict of a whole model under the names of the current toolboxes.

    mmdet 2.x and mmseg 0.x named everything as their successors do; mmpose 0.x called the
    head ``keypoint_head``; for OpenSTL's SimVP see :func:`simvp_name`. A classifier gets the names
    of mmpretrain's, and its average where the file has one (see :func:`holds_average` and
    :func:`classifier_state`).

    Raises:
        WeightsError: no state dict in the file, or half of an average.
    """
    state = classifier_state(_pick(checkpoint, ema=holds_average(checkpoint)))
    old = 'keypoint_head.'
    return {
        ('head.' + k.removeprefix(old) if k.startswith(old) else simvp_name(k)): v
        for k, v in state.items()
    }


def simvp_name(key: str) -> str:
    """Our name of a tensor of OpenSTL's SimVP: its sigma is a parameter, ours a module with one."""
    return f'{key}.scale' if key.endswith(('.attn.sigma', '.mlp.sigma')) else key


def holds_average(checkpoint: Any) -> bool:
    """Whether a file holds a classifier's average: as ``state_dict_ema``, as timm writes it, or
    in OpenMixup's flat entries.

    The published accuracy of such files is that of the average: a whole classifier is read as
    its average.
    """
    if not isinstance(checkpoint, Mapping):
        return False
    state = checkpoint.get('state_dict_ema', checkpoint.get('state_dict', checkpoint))
    keys = {str(key).removeprefix('module.') for key in state} if isinstance(state, Mapping) else ()
    if not any('blocks1.0.attn.' in key or 'blocks1_0_attn_' in key for key in keys):
        return False  # of another model
    flat = any(key.startswith('ema_') for key in keys)
    return ('state_dict_ema' in checkpoint or flat) and any(key in CLASSIFIER for key in keys)


def classifier_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier's tensors under the names of mmpretrain's ``ImageClassifier``.

    Official names get ``backbone.`` and ``head.fc.``, OpenMixup's bare ones ``backbone.``.
    OpenMixup's flat averages take the place of the raw parameters, since the published
    accuracy is theirs; buffers have no average there. Names that are right, and state dicts
    of other models, stay as they are.

    Raises:
        WeightsError: averages of some parameters only; a tensor under two names.
    """
    if not any(key in CLASSIFIER for key in state):
        return dict(state)
    heads = {'head.weight': 'head.fc.weight', 'head.bias': 'head.fc.bias'}
    named = {
        heads.get(key) or (f'backbone.{key}' if key.startswith(_PARTS) else key): value
        for key, value in state.items()
    }
    if len(named) < len(state):
        raise WeightsError('two values of one tensor: keys with and without backbone.')
    parameters = [k for k in named if k.startswith(('backbone.', 'head.fc.')) and not _is_buffer(k)]
    flat = _flat_names(
        [k.removeprefix('backbone.') for k in parameters if k.startswith('backbone.')],
        [k for k in parameters if k.startswith('head.fc.')],
        prefixed=True,
    )
    averages = {flat[key]: named.pop(key) for key in list(named) if key in flat}
    if averages and (missing := [key for key in parameters if key not in averages]):
        raise WeightsError(
            f'the file has averages, but none of {len(missing)} parameters, first {missing[0]}'
        )
    return named | averages


def _is_buffer(key: str) -> bool:
    return key.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


def recorded_gate(checkpoint: Any) -> str | None:
    """Gate of the backbone that our own checkpoints note beside the tensors, or None.

    The note is in the state dict's metadata, as PyTorch keeps versions of modules there.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    metadata = getattr(state, '_metadata', None) or {}
    return next((note['gate'] for note in metadata.values() if 'gate' in note), None)


def is_deployed(names: Iterable[str]) -> bool:
    """Whether tensors of these names are of a backbone in the deploy form."""
    return any(name.endswith('blocks1.0.shortcut_1') for name in names)
