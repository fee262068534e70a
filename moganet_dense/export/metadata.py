"""Metadata of an exported file; docs/ship.md lists the keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn as nn
from mmengine.config import Config

from .. import __version__
from ..config.reading import SCOPES
from ..data.color_type import color_type_of
from ..data.layouts import innermost
from ..inference.metainfo import Names
from ..runtime.model import FORMAT
from ..utils.errors import UserError

_PASSED = {'LoadImageFromFile', 'LoadImage', 'LoadAnnotations', 'PackDetInputs', 'PackSegInputs',
           'PackPoseInputs', 'PackInputs'}  # fmt: skip

PILLOW = dict(edge='short', backend='pillow', interpolation='bicubic')
"""The interpolation of classifiers in the recipes, supported by the runtime."""
WANTED = dict(
    mmdet={'scale'}, mmseg={'scale'}, mmpose={'padding', 'size'}, mmpretrain={'short', 'middle'}
)
"""Required steps of the test pipeline of each toolbox."""


def notes_of(
    cfg: Config,
    config: str,
    model: nn.Module,
    names: Names | None,
    shape: Sequence[int] | None,
) -> dict[str, Any]:
    """Metadata of a file as plain data.

    Args:
        cfg: the model's config; its test pipeline is stored.
        config: its path.
        model: of the config.
        names: of classes or keypoints; None: only the backbone is exported.
        shape: fixed height and width; None: dynamic.

    Raises:
        UserError: the pipeline has an unsupported step.
    """
    resize, crop = _pipeline(cfg)
    notes = dict(
        format=FORMAT,
        version=__version__,
        config=Path(config).stem,
        task='backbone' if names is None else _task(cfg, model),
        classes=[] if names is None else list(names.classes),
        shape=None if shape is None else list(shape),
        resize=resize,
        crop=crop,
        **_preprocessor(cfg),
    )
    if names is None:
        return dict(notes, strides=model.backbone.strides, channels=model.backbone.channels)
    notes.update(palette=np.asarray(names.palette).tolist())
    if cfg.default_scope == 'mmpose':
        flip_test = bool((cfg.model.get('test_cfg') or {}).get('flip_test', False))
        notes.update(skeleton=names.skeleton, flip_test=flip_test)
    if notes['task'] == 'instance segmentation':
        notes.update(mask_threshold=model.roi_head.test_cfg.mask_thr_binary)
    return notes


def cut_size(cfg: Config) -> tuple[int, int] | None:
    """Height and width of the crops of people, or of the centre crop of a config; None: it does
    not crop."""
    resize, crop = _pipeline(cfg)
    width, height = crop.get('size') or resize.get('middle') or (None, None)
    return (height, width) if width else None


def _task(cfg: Config, model: nn.Module) -> str:
    masks = cfg.default_scope == 'mmdet' and getattr(model, 'with_mask', False)
    return 'instance segmentation' if masks else SCOPES[cfg.default_scope]


def _preprocessor(cfg: Config) -> dict[str, Any]:
    found = cfg.model.get('data_preprocessor') or {}
    padded = set(found.get('test_cfg') or ()) - {'size_divisor'}  # by which the graph itself pads
    if not {'mean', 'std'} <= set(found) or padded:
        raise UserError(
            'export supports mean and std of model.data_preprocessor, and of its test_cfg '
            f'size_divisor; found {sorted({*found, *padded})}'
        )
    return dict(
        mean=list(found['mean']),
        std=list(found['std']),
        order='rgb' if found.get('bgr_to_rgb') or found.get('to_rgb') else 'bgr',
        color_type=color_type_of(cfg),
        pad=dict(divisor=found.get('pad_size_divisor', 1), value=found.get('pad_value', 0)),
    )


def _pipeline(cfg: Config) -> tuple[dict, dict]:
    """Resizing of images and cropping of people."""
    if not cfg.get('test_dataloader'):
        raise UserError('expected test_dataloader in the config, for its pipeline; found none')
    resize, crop = {}, {}
    for step in next(innermost(cfg.test_dataloader.dataset)).pipeline:
        options = {key: value for key, value in step.items() if key != 'type'}
        match step['type'].rpartition('.')[2]:
            case 'Resize' if set(options) <= {'scale', 'keep_ratio'}:
                keep = options.get('keep_ratio', False)
                resize.update(scale=_two(options['scale']), keep_ratio=keep)
            case 'ResizeToMultiple' if set(options) <= {'size_divisor'}:
                resize.update(multiple=options.get('size_divisor', 32))
            case 'Pad' if set(options) <= {'size', 'pad_val'} and 'size' in options:
                value = options.get('pad_val', 0)  # a number, or of images and of label maps
                value = value.get('img', 0) if isinstance(value, Mapping) else value
                value = list(value) if isinstance(value, (list, tuple)) else [value] * 3
                resize.update(pad_to=_two(options['size']), pad_with=value)
            case 'ResizeEdge' if options.items() >= PILLOW.items() and len(options) == 4:
                resize.update(short=options['scale'])
            case 'CenterCrop' if set(options) == {'crop_size'}:
                size = options['crop_size']
                resize.update(middle=[size, size] if isinstance(size, int) else _two(size))
            case 'GetBBoxCenterScale' if set(options) <= {'padding'}:
                crop.update(padding=options.get('padding', 1.25))
            case 'TopdownAffine' if set(options) <= {'input_size', 'use_udp'}:
                crop.update(size=_two(options['input_size']), udp=options.get('use_udp', False))
            case kind if kind not in _PASSED:
                raise UserError(
                    f'export does not support this step of the test pipeline: {_shown(step)}'
                )
    found, wanted = resize | crop, WANTED[cfg.default_scope]
    if not wanted <= set(found):
        raise UserError(f'export expects {sorted(wanted)} in the test pipeline, found {found}')
    return resize, crop


def _two(value: Any) -> list[int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise UserError(f'export expects two numbers as a size in the pipeline, found {value}')
    return list(value)


def _shown(step: Mapping[str, Any]) -> str:
    return ', '.join(f'{key}={value!r}' for key, value in step.items())
