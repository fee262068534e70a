"""MogaNet-L, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_l_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_l_openmixup.py CHECKPOINT
published  top-1 84.7 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_s_openmixup.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3),
    head=dict(in_channels=640),
)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(accumulative_counts=2)
custom_hooks = [_base_.precise_bn, dict(_base_.average, warmup=20 * 2503)]
