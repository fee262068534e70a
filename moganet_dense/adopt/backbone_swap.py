"""The changes of a config when MogaNet replaces its backbone.

The old backbone is built and run on a small image to get the strides and channels of its maps.
MogaNet returns maps of the same strides, and every part that reads them gets the new number of
channels.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from ..models import ARCHITECTURES
from ..models.moganet import STRIDES
from ..utils.errors import UserError, one_line

SIDE = 224
"""Of the image, in pixels: divisible by the strides and by the windows of transformers."""

DROP_PATH = dict(xt=0.05, t=0.1, s=0.1, b=0.2, l=0.3, xl=0.4)
"""Stochastic depth of each size in MogaNet's detectors, of xl in its segmentor."""

PREPROCESSOR = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
"""RGB statistics that the published weights were trained with."""


@dataclass(frozen=True)
class Maps:
    """What a backbone returns: channels and strides by map; ``pooled`` if they are vectors."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pooled: bool = False


@dataclass
class Swap:
    """Changes of a config.

    Attributes:
        model: changes of the model, as a config has them.
        preprocessor: changes of the data preprocessor.
        out_indices: stages of MogaNet that are read.
        notes: remarks for the header, one sentence each.
    """

    model: dict[str, Any]
    preprocessor: dict[str, Any]
    out_indices: tuple[int, ...]
    notes: list[str] = field(default_factory=list)


def swap(cfg: Config, arch: str) -> Swap:
    """The changes that put MogaNet of size ``arch`` into a config.

    Raises:
        UserError: the config has no backbone, or one whose maps MogaNet cannot replace.
    """
    part = cfg.model.to_dict()
    _require_backbone(part)
    old = maps_of(part['backbone'], cfg.default_scope)
    stages, notes = _stages(old)
    new = [ARCHITECTURES[arch]['embed_dims'][stage] for stage in stages]
    backbone = dict(
        _delete_=True,
        type='MogaNet',
        arch=arch,
        out_indices=stages,
        drop_path_rate=DROP_PATH[arch],
        init_cfg=dict(type='Pretrained', checkpoint=f'moganet://{arch}_in1k_224'),
    )
    if 'SyncBN' in str(part['backbone'].get('norm_cfg')):
        backbone['norm_cfg'] = dict(type='SyncBN')
    model = dict(backbone=backbone)
    _set_channels(part, model, old, new)
    if old.pooled and not part.get('neck'):
        model['neck'] = dict(type='GlobalAveragePooling')
        if 'neck' in part:  # as None, which a dict cannot be merged into
            model['neck'] = dict(_delete_=True, **model['neck'])
    if 'pretrained' in part:
        model['pretrained'] = None
    return Swap(model, _preprocessor(cfg), stages, notes)


def _require_backbone(model: dict[str, Any]) -> None:
    """Checks that a model has a backbone of its own.

    Raises:
        UserError: it has none, or MogaNet already.
    """
    backbone = model.get('backbone')
    if not isinstance(backbone, dict) or 'type' not in backbone:
        raise UserError(
            'expected a model with a backbone, found none: '
            f'model.type is {model.get("type")}, its parts are {", ".join(model)}'
        )
    if backbone['type'] == 'MogaNet':
        raise UserError('the config has MogaNet as its backbone already')


def maps_of(backbone: dict[str, Any], scope: str) -> Maps:
    """Channels and strides of what a backbone returns for a small image.

    Raises:
        UserError: it cannot be built, or returns something else than maps or vectors.
    """
    options = {k: v for k, v in backbone.items() if k not in ('init_cfg', 'pretrained')}
    with one_line(f'the backbone {options["type"]} cannot be built'):
        outputs = _run(options, scope)
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    if not outputs or not all(
        isinstance(o, torch.Tensor) and o.ndim in (2, 4) and o.shape[0] == 1 for o in outputs
    ):
        raise UserError(
            f'expected a backbone that returns maps (N, C, H, W), found {options["type"]}, which '
            f'returns {", ".join(_described(o) for o in outputs)}'
        )
    pooled = outputs[-1].ndim == 2
    strides = tuple(STRIDES[-1] if o.ndim == 2 else SIDE // o.shape[-1] for o in outputs)
    return Maps(tuple(o.shape[1] for o in outputs), strides, pooled)


def _run(options: dict[str, Any], scope: str) -> Any:
    """Output of a backbone; on the meta device, which computes nothing, where it can be there."""
    for device in ('meta', 'cpu'):
        try:
            with DefaultScope.overwrite_default_scope(scope), torch.device(device):
                net = MODELS.build(copy.deepcopy(options))
            net.eval()  # not every backbone returns itself
            with torch.no_grad():
                return net(torch.zeros(1, 3, SIDE, SIDE, device=device))
        except Exception:
            if device == 'cpu':
                raise
    raise AssertionError('not reached')


def _described(output: Any) -> str:
    kind = type(output).__name__
    return f'{kind} of {tuple(output.shape)}' if isinstance(output, torch.Tensor) else kind


def _stages(old: Maps) -> tuple[tuple[int, ...], list[str]]:
    """Stages of MogaNet in place of the old maps, and notes about them.

    Raises:
        UserError: a single fine map, as high-resolution networks have it, or more than four maps.
    """
    rising = all(a < b for a, b in zip(old.strides, old.strides[1:], strict=False))
    if old.strides == (4,) or old.strides == (2,):
        raise UserError(
            f'expected maps down to stride 32, found one of stride {old.strides[0]} alone, as '
            'high-resolution backbones have it; MogaNet has its first stage there. Take the config '
            'of the same head with ResNet'
        )
    if rising and set(old.strides) <= set(STRIDES):
        return tuple(STRIDES.index(stride) for stride in old.strides), []
    if len(old.strides) > len(STRIDES):
        raise UserError(f'expected at most four maps, found {len(old.strides)}: {old.strides}')
    stages = tuple(range(len(STRIDES) - len(old.strides), len(STRIDES)))
    new = tuple(STRIDES[stage] for stage in stages)
    return stages, [f'Maps have strides {new}, those of the old backbone had {old.strides}.']


def _set_channels(
    part: dict[str, Any], model: dict[str, Any], old: Maps, new: Sequence[int]
) -> None:
    """Writes channels into ``model``: of the neck if it reads channels, else of the heads."""
    by_value = dict(zip(old.channels, new, strict=True))
    neck = part.get('neck')
    if isinstance(neck, dict) and 'in_channels' in neck:
        model['neck'] = _changes(neck, old, new, by_value)
        return
    if isinstance(neck, list):  # a list is replaced as a whole
        first = next((k for k, each in enumerate(neck) if 'in_channels' in each), None)
        if first is not None:
            changed = {**neck[first], **_changes(neck[first], old, new, by_value)}
            model['neck'] = [*neck[:first], changed, *neck[first + 1 :]]
            return
    for name, node in part.items():
        if name == 'backbone' or not name.endswith(('head', 'heads', 'neck')):
            continue
        if isinstance(node, dict):
            if changes := _nested(node, old, new, by_value):
                model[name] = changes
        elif isinstance(node, list) and all(isinstance(each, dict) for each in node):
            merged = [_merge(each, _nested(each, old, new, by_value)) for each in node]
            if merged != node:
                model[name] = merged


def _nested(node: dict[str, Any], old: Maps, new: Sequence[int], by_value: dict) -> dict[str, Any]:
    """Changes of a head, and of parts of it that read the same maps."""
    changes = _changes(node, old, new, by_value)
    for name, inner in node.items():
        reads = isinstance(inner, dict) and (name == 'pixel_decoder' or 'in_index' in inner)
        if reads and (changed := _changes(inner, old, new, by_value)):
            changes[name] = changed
    return changes


def _changes(node: dict[str, Any], old: Maps, new: Sequence[int], by_value: dict) -> dict[str, Any]:
    """The new ``in_channels`` of a part, where it reads those of the backbone."""
    found: dict[str, Any] = {}
    if 'in_channels' in node:
        given, index = node['in_channels'], node.get('in_index')
        value = _mapped(given, index, old, new, by_value)
        if value is not None and value != given:
            found['in_channels'] = value
    if node.get('c1_in_channels') and 'c1_in_channels' in node:  # DeepLabV3+: of the first map
        found['c1_in_channels'] = new[0]
    return found


def _mapped(given: Any, index: Any, old: Maps, new: Sequence[int], by_value: dict) -> Any:
    """New channels for those that were given; None if these are not the backbone's."""
    if isinstance(given, (list, tuple)):
        if isinstance(index, (list, tuple)) and len(index) == len(given):
            return [new[k] for k in index]
        if len(given) == len(new) and tuple(given) == old.channels:
            return list(new)
        if all(value in by_value for value in given):
            return [by_value[value] for value in given]
        return None
    if isinstance(index, int) and -len(new) <= index < len(new) and given == old.channels[index]:
        return new[index]
    if given == old.channels[-1]:
        return new[-1]
    if len(new) > 1 and given == sum(old.channels):  # maps that a neck concatenates
        return sum(new)
    return by_value.get(given)


def _merge(node: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    found = dict(node)
    for name, value in changes.items():
        found[name] = _merge(node[name], value) if isinstance(value, dict) else value
    return found


def _preprocessor(cfg: Config) -> dict[str, Any]:
    """What has to change so that images are normalised as for the published weights."""
    given = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    order = 'to_rgb' if cfg.default_scope == 'mmpretrain' else 'bgr_to_rgb'
    wanted = dict(PREPROCESSOR, **{order: True})
    changes = {k: v for k, v in wanted.items() if _plain(given.get(k)) != v}
    if changes and given.get('rgb_to_bgr'):
        changes['rgb_to_bgr'] = False
    return changes if given else {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
