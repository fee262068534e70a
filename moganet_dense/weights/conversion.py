"""Names of the backbone's tensors in each family of published files.

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

After the prefix the names are always those of our backbone. In files of other models, as of
Lightning or a user's script, the backbone is found by its names, with any prefix. Pure functions of
mappings.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .birder_names import from_birder, is_birder
from .state_dicts import (
    StateDict,
    WeightsError,
    averaged,
    main_state_dict,
    state_dicts,
    unwrapped,
)

CLASSIFIER = ('head.weight', 'head.bias', 'head.fc.weight', 'head.fc.bias')
"""Names of a classifier's last layer, which may be among those of its backbone."""

_PARTS = ('patch_embed', 'blocks', 'norm')  # first parts of the names of the backbone
_PART = re.compile(r'(patch_embed|blocks|norm)\d+\.')
_ANCHOR = re.compile(r'(.*?)(?<![^.])blocks1\.0\.')
"""A name unique to the backbone, plain and fused, after its prefix."""


class BackboneState(NamedTuple):
    """Tensors of a backbone under our names, with their origin.

    Attributes:
        tensors: name to tensor.
        place: their location in the file, for messages.
        ignored: names of skipped tensors outside the backbone.
    """

    tensors: dict[str, Any]
    place: str
    ignored: list[str]


class _Place(NamedTuple):
    """Location of a backbone in a file: a state dict and the prefix of its names."""

    state: StateDict
    tensors: dict[str, Any]
    prefix: str

    @property
    def is_average(self) -> bool:
        return self.state.is_average or averaged(self.prefix)

    def __str__(self) -> str:
        names = f'{self.prefix}*' if self.prefix else 'top-level names'
        return f'{names} of {self.state.key}' if self.state.key else names


def backbone_state(
    checkpoint: Mapping[str, Any], names: Iterable[str], ema: bool, prefix: str | None = None
) -> BackboneState:
    """Extracts the backbone from a file of any family, or of any model that contains it.

    Args:
        checkpoint: content of the file.
        names: parameter names of the backbone, needed to undo OpenMixup's flat EMA names.
        ema: use the exponential moving average instead of the raw weights. If a file contains
            only an average, it is always used.
        prefix: prefix of the backbone's names, as in mmengine: ``backbone.``; None: detected.

    Returns:
        the tensors under our names. Names that start like the backbone's, or with
        ``backbone.``, are kept, so that strict loading reports them.

    Raises:
        WeightsError: no state dict in the file, several backbones, nothing under the prefix, or no
            EMA weights although requested.
    """
    names, places = list(names), _places(checkpoint, prefix)
    wanted = [place for place in places if place.is_average == ema]
    if ema and not wanted:
        return _flat_average(_only(places), names)
    return _taken(_only(wanted or places))


def _places(checkpoint: Any, prefix: str | None) -> list[_Place]:
    """Possible locations of the backbone; never empty."""
    states, found = state_dicts(checkpoint), []
    for state in states:
        tensors = _plain(state.tensors, everywhere=True)
        if prefix is not None:
            start = prefix if prefix.endswith('.') or not prefix else f'{prefix}.'
            prefixes = {start} if any(key.startswith(start) for key in tensors) else set()
        else:
            prefixes = {match[1] for key in tensors if (match := _ANCHOR.match(key))}
        found += [_Place(state, tensors, start) for start in sorted(prefixes)]
    if prefix is not None and not found:
        parts = ', '.join(sorted({key.partition('.')[0] for key in tensors})[:10])
        raise WeightsError(f'no names begin with prefix={prefix!r}; they begin with {parts}')
    if not found:  # strict loading reports what is missing
        start = 'backbone.' if any(key.startswith('backbone.') for key in tensors) else ''
        return [_Place(states[0], unwrapped(states[0].tensors, everywhere=True), start)]
    return found


def _plain(state: Mapping[str, Any], everywhere: bool = False) -> dict[str, Any]:
    """Tensors without the names of wrappers, birder's under ours."""
    tensors = unwrapped(state, everywhere)
    return from_birder(tensors) if is_birder(tensors) else tensors


def _only(places: list[_Place]) -> _Place:
    """The only backbone of the first state dict that has one.

    Raises:
        WeightsError: it has several.
    """
    first = [place for place in places if place.state.key == places[0].state.key]
    if len(first) > 1:
        valid = ', '.join(repr(place.prefix) for place in first)
        raise WeightsError(
            f'the file has {len(first)} backbones; choose one with prefix= in init_cfg: {valid}'
        )
    return first[0]


def _taken(place: _Place) -> BackboneState:
    """The backbone's tensors, and the names of the others."""
    tensors, ignored = {}, []
    for key, value in place.tensors.items():
        name = key.removeprefix(place.prefix)
        inside = place.prefix.endswith('backbone.') and name not in CLASSIFIER
        if key.startswith(place.prefix) and (inside or _PART.match(name)):
            tensors[name] = value
        else:
            ignored.append(key)
    return BackboneState(tensors, str(place), ignored)


def _flat_average(place: _Place, names: list[str]) -> BackboneState:
    """The average that OpenMixup stores as flat entries next to the raw weights."""
    raw = _taken(place)
    prefixed = place.prefix == 'backbone.'
    flat = _flat_names(names, [], prefixed=False)
    averages = {flat[key]: place.tensors[key] for key in raw.ignored if key in flat}
    if missing := [name for name in names if name not in averages]:
        first = f'backbone.{missing[0]}' if prefixed else missing[0]
        raise WeightsError(
            f'the file has no EMA weights of {len(missing)} parameters, first {first}; '
            'remove ema=True to load its raw weights'
        )
    ignored = [key for key in raw.ignored if key not in flat]
    return BackboneState(raw.tensors | averages, f'flat ema_* beside {raw.place}', ignored)


def _flat_names(names: Iterable[str], heads: Iterable[str], prefixed: bool) -> dict[str, str]:
    """OpenMixup's flat name of each parameter's average, and the corresponding name:
    ``ema_backbone_a_b_c`` for ``backbone.a.b.c``, with or without ``backbone``."""
    flat = {}
    for name in names:
        full = f'backbone.{name}' if prefixed else name
        for infix in ('backbone.', ''):
            flat['ema_' + (infix + name).replace('.', '_')] = full
    return flat | {'ema_' + head.replace('.', '_'): head for head in heads}


def model_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """State dict of a complete model under the names of the current toolboxes.

    mmdet 2.x and mmseg 0.x use the same names as their successors; mmpose 0.x called the
    head ``keypoint_head``; for OpenSTL's SimVP see :func:`simvp_name`. A classifier gets the names
    of mmpretrain, and its average if the file has one (see :func:`holds_average` and
    :func:`classifier_state`).

    Raises:
        WeightsError: no state dict in the file, or an incomplete average.
    """
    chosen = main_state_dict(checkpoint)
    if holds_average(checkpoint) and 'state_dict_ema' in checkpoint:
        chosen = StateDict('state_dict_ema', checkpoint['state_dict_ema'])
    state = classifier_state(_plain(chosen.tensors))
    old = 'keypoint_head.'
    return {
        ('head.' + k.removeprefix(old) if k.startswith(old) else simvp_name(k)): v
        for k, v in state.items()
    }


def holds_only_average(checkpoint: Any) -> bool:
    """Whether the weights of a file are an exponential moving average, without raw ones."""
    return main_state_dict(checkpoint).is_average


def simvp_name(key: str) -> str:
    """Our name of a tensor of OpenSTL's SimVP: its sigma is a parameter, ours a module with a
    parameter."""
    return f'{key}.scale' if key.endswith(('.attn.sigma', '.mlp.sigma')) else key


def holds_average(checkpoint: Any) -> bool:
    """Whether a file contains the average of a classifier: as ``state_dict_ema``, as in timm, or in
    OpenMixup's flat entries.

    The published accuracy of such files is that of the average, so a complete classifier is read as
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
    OpenMixup's flat averages replace the raw parameters, since the published accuracy is theirs;
    buffers have no average. Correct names, and state dicts of other models, are unchanged.

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
    """Gate of the backbone that our checkpoints store with the tensors, or None.

    It is in the metadata of the state dict, where PyTorch stores versions of modules.
    """
    states = [checkpoint, *checkpoint.values()] if isinstance(checkpoint, Mapping) else []
    notes = (getattr(state, '_metadata', None) or {} for state in states)
    return next((own['gate'] for note in notes for own in note.values() if 'gate' in own), None)


def is_deployed(names: Iterable[str]) -> bool:
    """Whether these are names of a fused backbone."""
    return any(name.endswith('blocks1.0.excess_1') for name in names)
