"""MogaNet-T, ImageNet-1k, 256 x 256, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_t_256_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_t_256_openmixup.py CHECKPOINT
published  top-1 79.6 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_t_openmixup.py'
crop = dict(_base_.crop, scale=256)
train_pipeline = [_base_.load, crop, _base_.flip, _base_.light_augment, _base_.erasing, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = [
    _base_.load,
    dict(_base_.resize, scale=284),
    dict(_base_.center, crop_size=256),
    _base_.pack,
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
