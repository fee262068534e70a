"""Whether a pose head fits the backbone and the targets, by the shapes of one forward pass.

The pass runs on torch's meta device: it computes shapes and no values, so that it takes neither
memory nor weights.
"""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from ..layouts import innermost
from .common import part_of

Size = tuple[int, ...]


def heatmap_rules(cfg: Config) -> Iterator[str]:
    """Sizes that contradict each other, one line each; nothing where they cannot be known.

    Args:
        cfg: a config of mmpose.
    """
    encoder, head = _encoder(cfg), part_of(cfg, 'model.head')
    if not encoder.get('input_size') or not head.get('type'):
        return
    found = list(_codecs(encoder, head.get('decoder') or {}))
    yield from found or _shapes(cfg.model, encoder)


def _encoder(cfg: Config) -> dict:
    """The codec that makes the targets of training; {} if there is none, or several."""
    outer = part_of(cfg, 'train_dataloader.dataset')
    for part in [outer, *innermost(outer)]:
        for step in part.get('pipeline') or ():
            if step.get('type') == 'GenerateTarget' and isinstance(step.get('encoder'), dict):
                return step['encoder']
    return {}


def _codecs(encoder: dict, decoder: dict) -> Iterator[str]:
    """The decoder reads what the encoder describes."""
    for key in ('input_size', 'heatmap_size'):
        ours, theirs = encoder.get(key), decoder.get(key)
        if ours and theirs and tuple(ours) != tuple(theirs):
            yield (
                f'expected model.head.decoder.{key}={tuple(ours)}, that of the encoder of '
                f'GenerateTarget, found {tuple(theirs)}; set it in the config'
            )


def _shapes(model: dict, encoder: dict) -> Iterator[str]:
    width, height = encoder['input_size'][:2]
    images = torch.zeros(1, model['backbone'].get('in_channels', 3), height, width, device='meta')
    head = model['head']
    try:
        with DefaultScope.overwrite_default_scope('mmpose'), torch.device('meta'):
            built = MODELS.build(model).eval()
        features = built.extract_feat(images)
        last = features[-1]
    except Exception:  # whatever it is, building the model for training reports it
        return
    place = 'the last output of the backbone' + ' and neck' * bool(model.get('neck'))
    shape = last.shape[3], last.shape[2]
    for key, size in (('in_channels', last.shape[1]), ('in_featuremap_size', shape)):
        given = head.get(key)
        given = tuple(given) if isinstance(size, tuple) and given else given
        if isinstance(given, type(size)) and given != size:
            yield f'expected model.head.{key}={size}, of {place}, found {given}; set it'
            return
    yield from _heatmaps(built, features, encoder)


def _heatmaps(built: Any, features: Any, encoder: dict) -> Iterator[str]:
    expected = encoder.get('heatmap_size')
    try:
        maps = built.head.forward(features)
    except Exception:  # as above
        return
    if not expected or not isinstance(maps, torch.Tensor) or maps.dim() != 4:
        return
    found = maps.shape[3], maps.shape[2]
    if found != tuple(expected):
        yield (
            f'expected heatmaps of {tuple(expected)} from model.head, which heatmap_size of the '
            f'encoder of GenerateTarget has, found {found} for images of '
            f'{tuple(encoder["input_size"])}; set heatmap_size={found} there and in '
            'model.head.decoder, or change the number of deconv_out_channels and '
            'deconv_kernel_sizes, each of which doubles the size'
        )
