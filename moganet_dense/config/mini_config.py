"""``--mini``: any detection, segmentation or pose config on the bundled sample data set.

The model, its classes and the metrics are unchanged. The data set, every size in the pipelines (by
one factor) and the schedule, which is short and starts from scratch, are replaced.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from ..data.layouts import LAYOUTS, OTHER_LAYOUTS, Layout, innermost
from ..data.mini import SIZES, make_mini
from ..utils.errors import UserError
from .mini_figures import apply_mini_figures
from .mini_hands import apply_mini_hands
from .mini_video import apply_mini_video


@dataclass(frozen=True)
class Schedule:
    """A training of minutes on two cores.

    Attributes:
        shrink: factor of every image size in the pipelines (pose: see PERSON_WIDTH).
        batch_size: images of a training step.
        lr: highest learning rate of the heads; linear warm-up before it, cosine after it.
        backbone_lr: learning rate of the backbone as a multiple. The head of a detector starts with
            weights of 0.01 and diverges at rates that suit the larger weights of the backbone.
        warmup: iterations of warm-up.
        length: iterations; approximate if the loop counts epochs.
    """

    shrink: float
    batch_size: int
    lr: float
    backbone_lr: float
    warmup: int
    length: int


SCHEDULES = {
    'mmdet': Schedule(shrink=0.12, batch_size=4, lr=2e-4, backbone_lr=4.0, warmup=40, length=236),
    'mmseg': Schedule(shrink=0.25, batch_size=4, lr=5e-4, backbone_lr=1.0, warmup=20, length=120),
    'mmpose': Schedule(shrink=0.5, batch_size=16, lr=5e-4, backbone_lr=1.0, warmup=10, length=120),
}

PERSON_WIDTH = 96
"""Width in pixels of the crops of people. Like the height, it is a multiple of the coarsest stride,
since heatmaps have to be a quarter of the input."""

BOTTOM_UP_WIDTH = 128
"""Width in pixels of whole images, of pose estimators that find the people themselves."""

COARSEST = 32
"""Stride of the coarsest map that necks enlarge."""

QUERIES = 100
"""Most queries of a decoder that chooses them among places, of which small images have few."""

LEFT_OUT = {'Albumentation', 'mmdet.Albu', 'Albu'}
"""Steps of pipelines that need a package which is not among the requirements."""

_SIZES = {'scale', 'scales', 'img_scale', 'crop_size', 'size', 'input_size', 'heatmap_size',
          'in_featuremap_size', 'random_size_range'}  # fmt: skip
_IN_SPACE = {'Figures3D': apply_mini_figures, 'InterHand3DDataset': apply_mini_hands}
"""What makes a config of 3D pose small, by the data set that it reads."""
_LOADERS = {'train_dataloader': 'train', 'val_dataloader': 'val', 'test_dataloader': 'val'}


def apply_mini(cfg: Config) -> None:
    """Converts ``cfg`` to its small form, in place, and draws the data set if needed.

    Raises:
        UserError: the task has no sample data set, or the config reads another format.
    """
    scope = cfg.default_scope
    if scope == 'mmengine':
        apply_mini_video(cfg)
        return
    reads = (cfg.get('train_dataloader') or {}).get('dataset', {}).get('type')
    if reads in _IN_SPACE:
        _IN_SPACE[reads](cfg)
        return
    if scope not in SCHEDULES:
        raise UserError(f'--mini supports {", ".join(SCHEDULES)} configs, this one is {scope}')
    layout, schedule = LAYOUTS[scope], SCHEDULES[scope]
    parts = list(innermost(cfg.train_dataloader.dataset))
    layout = OTHER_LAYOUTS.get(parts[0].get('type'), layout)
    for part in parts:
        _require_type(part, layout)
    if not layout.mini_root:
        raise UserError(f'--mini draws no {layout.title}')
    roots = {part.get('data_root') for part in parts}
    if roots == {layout.mini_root}:  # the config saved by such a training
        make_mini()
        return
    if 'codec' in cfg:
        width = BOTTOM_UP_WIDTH if _is_bottom_up(cfg) else PERSON_WIDTH
        schedule = replace(schedule, shrink=width / cfg.codec.input_size[0])
    for name, split in _LOADERS.items():
        if not cfg.get(name):
            continue
        cfg[name] = _padded(shrunk(cfg[name], schedule.shrink))
        cfg[name].update(num_workers=1, persistent_workers=True)
        for dataset in innermost(cfg[name].dataset):
            _retarget(dataset, layout, split)
    cfg.train_dataloader.batch_size = schedule.batch_size
    for name in ('val_evaluator', 'test_evaluator'):
        metrics = cfg.get(name) or []
        for metric in metrics if isinstance(metrics, list) else [metrics]:
            if 'ann_file' in metric:
                _retarget_metric(metric, layout)
    _shrink_model(cfg, schedule.shrink)
    if cfg.get('custom_hooks'):  # a hook may switch to another pipeline
        cfg.custom_hooks = _padded(shrunk(cfg.custom_hooks, schedule.shrink))
    start_from_scratch(cfg)
    _shorten(cfg, schedule)
    make_mini()


def _shrink_model(cfg: Config, shrink: float) -> None:
    """Adapts a model to images ``shrink`` times as large, and to minutes of training."""
    if cfg.default_scope == 'mmdet':
        for option, value in [('pad_size_divisor', 32), ('pad_mask', True)]:  # crops of odd sizes
            cfg.model.data_preprocessor.setdefault(option, value)
    if cfg.model.get('num_queries', 0) > QUERIES:
        cfg.model.num_queries = QUERIES
    for part in ('data_preprocessor', 'head'):
        if part in cfg.model:
            cfg.model[part] = shrunk(cfg.model[part], shrink)
    backbone = cfg.model.get('backbone') or {}
    if backbone.get('type') == 'MogaNet':
        # 1e-5 scales the blocks in over 300 epochs; here are only minutes. At 1 the outputs of
        # random blocks would dominate the features of the first layers.
        backbone.update(layer_scale_init_value=0.1, drop_path_rate=0.0)


def start_from_scratch(cfg: Config) -> None:
    """Removes the published weights that training starts from, of any part of the model."""
    for part in (cfg.model, cfg.model.get('backbone') or {}):
        part.pop('pretrained', None)
        if part.get('init_cfg'):
            part['init_cfg'] = None
    _remove_pretrained(cfg.model)
    cfg.load_from = None


def _remove_pretrained(node: Any) -> None:
    """Removes weights of parts of parts, such as DEKR's network that rates poses."""
    if isinstance(node, dict):
        init = node.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            node['init_cfg'] = None
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, (dict, list, tuple)):
            _remove_pretrained(part)


def shrunk(node: Any, factor: float) -> Any:
    """A copy of a part of a config with every image size multiplied by ``factor``, without the
    steps of LEFT_OUT."""
    if isinstance(node, dict):
        return ConfigDict(
            {k: _scaled(v, factor) if k in _SIZES else shrunk(v, factor) for k, v in node.items()}
        )
    if isinstance(node, (list, tuple)):
        return type(node)(shrunk(item, factor) for item in node if not _left_out(item))
    return node


def _padded(node: Any) -> Any:
    """A part of a config whose padding to a fixed size is to whole strides of the coarsest map, as
    necks that enlarge by two need it."""
    if isinstance(node, dict):
        found = ConfigDict({key: _padded(value) for key, value in node.items()})
        if str(found.get('type', '')).endswith('Pad') and isinstance(found.get('size'), tuple):
            found['size'] = tuple(-(-side // COARSEST) * COARSEST for side in found['size'])
        return found
    if isinstance(node, (list, tuple)):
        return type(node)(_padded(item) for item in node)
    return node


def _is_bottom_up(cfg: Config) -> bool:
    """Whether a pose estimator sees whole images."""
    parts = innermost(cfg.train_dataloader.dataset)
    return any(part.get('data_mode') == 'bottomup' for part in parts)


def _left_out(step: Any) -> bool:
    return isinstance(step, dict) and step.get('type') in LEFT_OUT


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(item, factor) for item in value)
    if isinstance(value, int) and value > 1:
        return max(1, round(value * factor))
    return value


def _require_type(dataset: dict, layout: Layout) -> None:
    if dataset.get('type') != layout.dataset_type:
        raise UserError(
            f'--mini draws {layout.title} for {layout.dataset_type}; this config reads '
            f'{dataset.get("type")}'
        )


def _retarget(dataset: dict, layout: Layout, split: str) -> None:
    """Points a data set at the sample data set in its layout."""
    _require_type(dataset, layout)
    dataset.update(data_root=layout.mini_root, **layout.fields[split])
    if dataset.get('bbox_file'):
        name = dataset['bbox_file'].rpartition('/')[2]
        dataset['bbox_file'] = f'{layout.mini_root}person_detection_results/{name}'


def _retarget_metric(metric: dict, layout: Layout) -> None:
    """Points a metric at the sample data set; those of panoptic maps have a ``seg_prefix``, and
    those of objects beside them read the file of instances."""
    if 'seg_prefix' in metric:
        metric['seg_prefix'] = f'{layout.mini_root}annotations/panoptic_val2017/'
    elif layout.dataset_type == 'CocoPanopticDataset':
        layout = LAYOUTS['mmdet']
    metric['ann_file'] = f'{layout.mini_root}{layout.metric_file}'


def _shorten(cfg: Config, schedule: Schedule) -> None:
    """Replaces the schedule; the optimizer is unchanged except for its learning rate."""
    by_epoch = 'max_iters' not in cfg.train_cfg
    whole = cfg.train_cfg.get('max_epochs')
    epochs = max(1, round(schedule.length * schedule.batch_size / SIZES['train']))
    length = epochs if by_epoch else schedule.length
    if by_epoch and whole:
        _switch_sooner(cfg, epochs, whole)
    cfg.train_cfg.update({'max_epochs' if by_epoch else 'max_iters': length})
    cfg.train_cfg.val_interval = length
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper' and not torch.cuda.is_available():
        cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    cfg.optim_wrapper.optimizer.lr = schedule.lr
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=schedule.batch_size)
    cfg.optim_wrapper.clip_grad = cfg.optim_wrapper.get('clip_grad') or dict(max_norm=10)
    cfg.optim_wrapper.pop('constructor', None)
    trunk = dict(lr_mult=schedule.backbone_lr)
    shared = (cfg.optim_wrapper.get('paramwise_cfg') or {}).get('bypass_duplicate', False)
    cfg.optim_wrapper.paramwise_cfg = dict(
        custom_keys=dict(backbone=trunk),
        bypass_duplicate=shared,  # of heads that share layers, as RTMDet's
    )
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=schedule.warmup),
        dict(
            type='CosineAnnealingLR',
            T_max=length,
            eta_min=schedule.lr / 100,
            by_epoch=by_epoch,
            begin=0,
            end=length,
            convert_to_iter_based=by_epoch,
        ),
    ]
    hooks = cfg.get('default_hooks') or {}
    for name, interval in [('checkpoint', length), ('logger', 10)]:
        if hooks.get(name):
            hooks[name].interval = interval


def _switch_sooner(cfg: Config, epochs: int, whole: int) -> None:
    """Scales the epochs at which hooks change the training, of ``whole`` epochs before.

    Recipes mix images until the last epochs (mosaics, MixUp). They show the network less contrast
    than whole images have, by which features grow, in minutes of training beyond any bound: so here
    it gets whole images in half of the epochs.
    """
    for hook in cfg.get('custom_hooks') or []:
        if 'switch_epoch' in hook:
            hook.switch_epoch = epochs // 2
        if 'num_last_epochs' in hook:
            hook.num_last_epochs = epochs // 2
        if 'epoch_attributes' in hook:
            found = hook.epoch_attributes
            hook.epoch_attributes = {round(at * epochs / whole): v for at, v in found.items()}
