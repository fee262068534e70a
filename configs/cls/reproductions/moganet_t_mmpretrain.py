"""MogaNet-T, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_t_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_t_mmpretrain.py CHECKPOINT
published  top-1 77.24, top-5 93.51 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
           (77.24 does not fit the file it was converted from, which has 79.0)
"""

_base_ = 'moganet_s_mmpretrain.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1),
    head=dict(in_channels=256),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.1), dict(type='CutMix', alpha=1.0)]),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.04))
param_scheduler = [_base_.warmup, dict(_base_.cosine, eta_min=1e-6)]
