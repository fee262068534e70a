"""MogaNet-S, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_s_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_s_openmixup.py CHECKPOINT
published  top-1 83.4 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = [
    '../../_base_/models/moganet_cls.py',
    '../../_base_/datasets/imagenet.py',
    '../../_base_/schedules/cls_openmixup_300e.py',
    '../../_base_/cls_runtime.py',
]
model = dict(backbone=dict(gate='double'))
erasing = dict(fill_color=[104, 116, 124], fill_std=[58, 57, 57])
train_pipeline = [
    _base_.load,
    _base_.crop,
    _base_.flip,
    _base_.rand_augment,
    dict(_base_.erasing, **erasing),
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# Parameters only: the buffers are those of the raw weights. An epoch has 1252 iterations.
average = dict(type='EMAHook', ema_type='WarmupEMA', momentum=1e-4, warmup=20 * 1252)
custom_hooks = [_base_.precise_bn, average]
