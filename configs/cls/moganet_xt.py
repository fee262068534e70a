"""MogaNet-XT, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_xt.py
test       python tools/test.py configs/cls/moganet_xt.py CHECKPOINT
published  top-1 76.5, top-5 93.4 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
"""

_base_ = 'moganet_t.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.05),
    head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.03))
