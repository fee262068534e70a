"""MogaNet-S, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_s_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_s_mmpretrain.py CHECKPOINT
published  top-1 83.38, top-5 96.58 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
"""

_base_ = [
    '../../_base_/models/moganet_cls.py',
    '../../_base_/datasets/imagenet.py',
    '../../_base_/schedules/cls_mmpretrain_300e.py',
    '../../_base_/cls_runtime.py',
]
model = dict(
    backbone=dict(gate='double', init_cfg=dict(type='TruncNormal', layer='Conv2d', std=0.02)),
)
