"""``--augment``: augmentation of detectors, by mmdet's own transforms."""

from typing import Any

from mmengine.config import Config, ConfigDict

from ..data.layouts import innermost
from ..utils.errors import UserError
from .image_size import trained_size
from .schedules import counts_epochs

MIXING = ('Mosaic', 'RandomAffine', 'MixUp')
"""Transforms that are switched off for the last epochs."""

_PAD = 114.0
"""Grey that fills what images do not cover."""


def set_augment(cfg: Config, strength: str) -> str:
    """Replaces the training pipeline of a detector between loading and packing.

    light: colour, scale jitter of 0.75 to 1.25, a crop, flips. strong: mosaic of four images,
    rotation and scale (0.5 to 1.5), mixup, colour, flips; the last tenth of the epochs without the
    first three (YOLOX, https://arxiv.org/abs/2107.08430). With masks strong is scale jitter of 0.1
    to 2 and colour (Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177): mosaic has boxes only.

    Args:
        cfg: changed in place.
        strength: light or strong.

    Returns:
        a line about it.

    Raises:
        UserError: the config is not of a detector, or reads several data sets.
    """
    if cfg.default_scope != 'mmdet':
        raise UserError(f'--augment is for detection, this config is of {cfg.default_scope}')
    parts = list(innermost(cfg.train_dataloader.dataset))
    if len(parts) != 1 or parts[0] is not cfg.train_dataloader.dataset:
        raise UserError('--augment needs one data set without a wrapper in train_dataloader')
    dataset = parts[0]
    load, pack = _ends(dataset.pipeline)
    size = trained_size(cfg)
    masks = any(step.get('with_mask') for step in load)
    if strength == 'light' or masks:
        ratio = {'light': (0.75, 1.25), 'strong': (0.1, 2.0)}[strength]
        keep_empty = not (dataset.get('filter_cfg') or {}).get('filter_empty_gt', True)
        dataset.pipeline = [*load, *_jitter(size, ratio, keep_empty), *pack]
        return f'--augment {strength}: colour, scale {ratio[0]:g} to {ratio[1]:g}, crops, flips'
    inner = ConfigDict(dataset, pipeline=load)
    cfg.train_dataloader.dataset = ConfigDict(
        type='MultiImageMixDataset', dataset=inner, pipeline=[*_mosaic(size), *pack]
    )
    cfg.train_dataloader.pop('batch_sampler', None)  # all images have one size
    line = '--augment strong: mosaic, rotation, scale 0.5 to 1.5, mixup, colour, flips'
    if counts_epochs(cfg):
        last = max(1, round(cfg.train_cfg.max_epochs / 10))
        hook = dict(type='PlainImagesHook', epochs=last, skipped=MIXING)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
        end = 'the last epoch' if last == 1 else f'the last {last} epochs'
        line += f'; {end} without the first four'
    return line


def _ends(pipeline: list[dict]) -> tuple[list[dict], list[dict]]:
    """The steps that load, and the one that packs."""
    load = [step for step in pipeline if step['type'].startswith('Load')]
    pack = [step for step in pipeline if step['type'].startswith('Pack')]
    if not load or not pack:
        raise UserError('--augment needs steps that load and pack in the training pipeline')
    return load, pack


def _jitter(size: tuple[int, int], ratio: tuple[float, float], keep_empty: bool) -> list[dict]:
    return [
        dict(type='PhotoMetricDistortion'),
        dict(type='RandomResize', scale=size, ratio_range=ratio, keep_ratio=True),
        dict(type='RandomCrop', crop_size=size, allow_negative_crop=keep_empty),
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=not keep_empty),
        dict(type='RandomFlip', prob=0.5),
    ]


def _mosaic(size: tuple[int, int]) -> list[dict[str, Any]]:
    width, height = size
    return [
        dict(type='Mosaic', img_scale=size, pad_val=_PAD),
        dict(
            type='RandomAffine',
            scaling_ratio_range=(0.5, 1.5),
            border=(-width // 2, -height // 2),
            border_val=(_PAD,) * 3,
        ),
        dict(type='MixUp', img_scale=size, ratio_range=(0.8, 1.6), pad_val=_PAD),
        dict(type='YOLOXHSVRandomAug'),
        dict(type='RandomFlip', prob=0.5),
        dict(type='Resize', scale=size, keep_ratio=True),
        dict(type='Pad', size=size, pad_val=dict(img=(_PAD,) * 3)),
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    ]
