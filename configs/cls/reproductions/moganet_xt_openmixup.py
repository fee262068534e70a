"""MogaNet-XT, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_xt_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_xt_openmixup.py CHECKPOINT
published  top-1 76.5 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_t_openmixup.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.05),
    head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.03))
