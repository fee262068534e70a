"""MogaNet-S, ImageNet-1k, RSB A3 by OpenMixup: trained at 160, tested at 224.

train      python tools/train.py configs/cls/reproductions/moganet_s_rsb_a3.py
test       python tools/test.py configs/cls/reproductions/moganet_s_rsb_a3.py CHECKPOINT
published  top-1 81.1, top-5 95.5 on ImageNet-1k (https://github.com/Westlake-AI/openmixup);
           not run here
"""

_base_ = [
    '../../_base_/models/moganet_cls.py',
    '../../_base_/datasets/imagenet.py',
    '../../_base_/schedules/cls_rsb_a3_100e.py',
    '../../_base_/cls_runtime.py',
]
# binary cross-entropy of the mixed one-hot labels, without smoothing
model = dict(
    backbone=dict(gate='double'),
    head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True)),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.1), dict(type='CutMix', alpha=1.0)]),
)
train_pipeline = [
    _base_.load,
    dict(_base_.crop, scale=160),
    _base_.flip,
    dict(_base_.rand_augment, magnitude_level=6),
    _base_.pack,
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
test_pipeline = [_base_.load, dict(_base_.resize, scale=236), _base_.center, _base_.pack]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=2048)
