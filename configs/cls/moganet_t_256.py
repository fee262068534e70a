"""MogaNet-T, ImageNet-1k, 256 x 256, official recipe.

train      python tools/train.py configs/cls/moganet_t_256.py
test       python tools/test.py configs/cls/moganet_t_256.py CHECKPOINT
published  top-1 79.6, top-5 94.9 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
"""

_base_ = 'moganet_t.py'
crop = dict(_base_.crop, scale=256)
random_crop = dict(type='RandomChoice', transforms=[[dict(crop, interpolation='bilinear')], [crop]])
train_pipeline = [
    _base_.load,
    random_crop,
    _base_.flip,
    dict(_base_.rand_augment, magnitude_level=7),
    _base_.erasing,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = [
    _base_.load,
    dict(_base_.resize, scale=284),
    dict(_base_.center, crop_size=256),
    _base_.pack,
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
