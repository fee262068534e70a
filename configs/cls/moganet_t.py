"""MogaNet-T, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_t.py
test       python tools/test.py configs/cls/moganet_t.py CHECKPOINT
published  top-1 79.0, top-5 94.6 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
"""

_base_ = 'moganet_s.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1),
    head=dict(in_channels=256),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.1), dict(type='CutMix', alpha=1.0)]),
)

train_pipeline = [
    _base_.load,
    _base_.random_crop,
    _base_.flip,
    dict(_base_.rand_augment, magnitude_level=7),
    _base_.erasing,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(weight_decay=0.04)
)
param_scheduler = [_base_.warmup, dict(_base_.cosine, eta_min=1e-6)]
custom_hooks = [_base_.sync_buffers]
