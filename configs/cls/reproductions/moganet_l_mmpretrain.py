"""MogaNet-L, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_l_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_l_mmpretrain.py CHECKPOINT
published  top-1 84.76, top-5 97.15 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
"""

_base_ = 'moganet_b_mmpretrain.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3, gate='single'),
    head=dict(in_channels=640),
)
jitter = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4)
train_pipeline = [
    _base_.load,
    _base_.crop,
    _base_.flip,
    _base_.rand_augment,
    jitter,
    _base_.erasing,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
