"""MogaNet-XT, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_xt_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_xt_mmpretrain.py CHECKPOINT
published  top-1 76.48, top-5 93.49 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
"""

_base_ = 'moganet_t_mmpretrain.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.05),
    head=dict(in_channels=192),
)
light_augment = dict(_base_.rand_augment, magnitude_level=7)
train_pipeline = [_base_.load, _base_.crop, _base_.flip, light_augment, _base_.erasing, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=0.03))
