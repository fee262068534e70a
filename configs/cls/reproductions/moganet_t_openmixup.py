"""MogaNet-T, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_t_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_t_openmixup.py CHECKPOINT
published  top-1 79.0 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_s_openmixup.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1),
    head=dict(in_channels=256),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.1), dict(type='CutMix', alpha=1.0)]),
)
light_augment = dict(_base_.rand_augment, magnitude_level=7)
erasing = dict(_base_.erasing)
train_pipeline = [_base_.load, _base_.crop, _base_.flip, light_augment, erasing, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(weight_decay=0.04)
)
param_scheduler = [_base_.warmup, dict(_base_.cosine, eta_min=1e-6)]
custom_hooks = [_base_.precise_bn]
