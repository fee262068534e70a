"""MogaNet-XL, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_xl_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_xl_openmixup.py CHECKPOINT
published  top-1 85.1 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_s_openmixup.py'
model = dict(
    backbone=dict(arch='xl', drop_path_rate=0.4),
    head=dict(in_channels=960),
)
# 4 steps a batch, as the published config has it, though its name says accu2; its lowest rate
# is ten times that of the other sizes
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(accumulative_counts=4)
param_scheduler = [_base_.warmup, dict(_base_.cosine, eta_min=1e-4)]
custom_hooks = [_base_.precise_bn, dict(_base_.average, warmup=20 * 5005)]
