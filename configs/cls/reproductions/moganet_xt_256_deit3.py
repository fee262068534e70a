"""MogaNet-XT, ImageNet-1k, 256 x 256, OpenMixup's recipe after DeiT III.

train      python tools/train.py configs/cls/reproductions/moganet_xt_256_deit3.py
test       python tools/test.py configs/cls/reproductions/moganet_xt_256_deit3.py CHECKPOINT
published  top-1 77.6 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_t_256_deit3.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.05),
    head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.03))
