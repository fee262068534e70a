"""MogaNet-B, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_b_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_b_mmpretrain.py CHECKPOINT
published  top-1 84.2, top-5 96.77 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
"""

_base_ = 'moganet_s_mmpretrain.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2),
)
average = dict(type='EMAHook', ema_type='DeviceExponentialMovingAverage', momentum=1e-4)
custom_hooks = [_base_.precise_bn, average]
