"""MogaNet-S, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_s.py
test       python tools/test.py configs/cls/moganet_s.py CHECKPOINT
published  top-1 83.4, top-5 96.9 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
           the result is that of the average, which the file holds as state_dict_ema
"""

_base_ = [
    '../_base_/models/moganet_cls.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_timm_310e.py',
    '../_base_/cls_runtime.py',
]

random_crop = dict(
    type='RandomChoice',
    transforms=[[dict(_base_.crop, interpolation='bilinear')], [_base_.crop]],
)
train_pipeline = [
    _base_.load,
    random_crop,
    _base_.flip,
    _base_.rand_augment,
    _base_.erasing,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
average = dict(
    type='EMAHook',
    ema_type='DeviceExponentialMovingAverage',
    momentum=1e-4,
    update_buffers=True,
)
custom_hooks = [_base_.sync_buffers, average]
randomness = dict(seed=42)
