"""The class or keypoint names of a model: from its checkpoint, or else from its config."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ..config.reading import finds_poses_in_space
from ..data.layouts import innermost
from ..engine.plain_checkpoint import from_plain
from ..utils.errors import UserError, one_line
from ..visualization.drawing import colours

_HEADS = {'bbox_head', 'mask_head', 'decode_head', 'head'}


@dataclass(frozen=True)
class Names:
    """Metainfo of a model's outputs.

    Attributes:
        classes: names of classes or, for pose, of keypoints.
        palette: (C, 3) uint8, a colour for each, RGB.
        skeleton: pairs of keypoints that a line joins.
        meta: the data set's metainfo, as in the toolbox.
    """

    classes: tuple[str, ...]
    palette: np.ndarray
    skeleton: tuple[tuple[int, int], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def require_images_to_places(cfg: Config) -> None:
    """Rejects models whose inputs are no images, or whose outputs are in space.

    Raises:
        UserError: a lifter, or a head that finds keypoints in space.
    """
    if cfg.model.get('type') == 'PoseLifter':
        raise UserError(
            "a PoseLifter reads keypoints and no images; use mmpose's Pose3DInferencer, see "
            'docs/pose3d.md'
        )
    if finds_poses_in_space(cfg):
        raise UserError(
            f'{cfg.model.head.type} finds keypoints in space, which train, test, predict, demo and '
            'report support; its network alone: export --backbone'
        )


def names_of(cfg: Config, content: Mapping[str, Any], model: nn.Module) -> Names:
    """Names from the checkpoint, or else from the data set of the config.

    Args:
        cfg: the model's config.
        content: of the checkpoint; {} for none.
        model: its heads define the number of names.

    Raises:
        UserError: see :func:`require_images_to_places`; neither has names, they are malformed, or
            their number differs from the outputs of the model.
    """
    require_images_to_places(cfg)
    with one_line('the names and colours of the classes or keypoints cannot be read'):
        return _names_of(cfg, content, model)


def _names_of(cfg: Config, content: Mapping[str, Any], model: nn.Module) -> Names:
    meta, source = _noted(content), 'the checkpoint'
    find = _keypoints if cfg.default_scope == 'mmpose' else _classes
    if find(meta) is None:
        meta, source = _of_data_set(cfg), "the config's data set"
    classes = find(meta)
    if classes is None:
        raise UserError(
            'the class names are unknown: neither the checkpoint nor the config has '
            'them; set metainfo=dict(classes=...) in test_dataloader.dataset'
        )
    for name, count in _outputs(model, cfg.default_scope):
        if count != len(classes):
            raise UserError(
                f'{source} names {len(classes)} classes or keypoints, {name} has {count}; set '
                'metainfo in test_dataloader.dataset to those of the model'
            )
    if cfg.default_scope == 'mmseg' and meta.get('palette') is None:
        configured = _of_data_set(cfg)  # same classes, same colours
        meta = dict(
            meta, palette=configured.get('palette') if find(configured) == classes else None
        )
    skeleton = tuple((int(a), int(b)) for a, b in meta.get('skeleton_links') or ())
    if beyond := [k for link in skeleton for k in link if not 0 <= k < len(classes)]:
        raise UserError(
            f'{source} links keypoint {beyond[0]:.6g}, expected 0 to {len(classes) - 1}'
        )
    return Names(classes, _palette(meta, len(classes)), skeleton, meta)


def _noted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Metainfo of a checkpoint, of mmengine or of the older toolboxes."""
    meta = content.get('meta')
    if not isinstance(meta, Mapping):
        return {}
    found = meta.get('dataset_meta') or {k: meta[k] for k in ('CLASSES', 'PALETTE') if k in meta}
    return {str(k).lower(): v for k, v in dict(from_plain(found)).items()}


def _of_data_set(cfg: Config) -> dict[str, Any]:
    """Metainfo of the config's data set, without opening a file of it."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        return {}
    dataset = dict(next(innermost(loader.dataset)), lazy_init=True, pipeline=[])
    scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
    with one_line("the names of the config's data set cannot be read"), scope, catch_warnings():
        filterwarnings('ignore', 'The metainfo config file', UserWarning)  # mmpose has a fallback
        return dict(DATASETS.build(dataset).metainfo)


def _classes(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    classes = meta.get('classes')
    return tuple(map(str, classes)) if isinstance(classes, (list, tuple)) and classes else None


def _keypoints(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    keypoints = meta.get('keypoint_id2name')
    return tuple(str(keypoints[i]) for i in range(len(keypoints))) if keypoints else None


def _palette(meta: Mapping[str, Any], count: int) -> np.ndarray:
    palette = np.asarray(() if meta.get('palette') is None else meta['palette'])
    return palette.astype(np.uint8) if palette.shape == (count, 3) else colours(count)


def _outputs(model: nn.Module, scope: str) -> list[tuple[str, int]]:
    """How many classes or keypoints each head of a model has, by the head's name."""
    wanted = 'out_channels' if scope == 'mmpose' else 'num_classes'
    found = []
    for name, module in model.named_modules():
        last = name.rstrip('.0123456789').rpartition('.')[2]
        if last in _HEADS and isinstance(getattr(module, wanted, None), int):
            found.append((name, getattr(module, wanted)))
    return found
