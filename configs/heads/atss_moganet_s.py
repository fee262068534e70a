"""ATSS, MogaNet-S, COCO boxes, 1x schedule.

train      python tools/train.py configs/heads/atss_moganet_s.py
test       python tools/test.py configs/heads/atss_moganet_s.py CHECKPOINT
source     mmdet::atss/atss_r50_fpn_1x_coco.py
           https://arxiv.org/abs/1912.02424
published  none with MogaNet; not run at scale, not run here on the whole data set

SGD is replaced by AdamW as in MogaNet's published recipe: 0.0001 for 16 images, 0.0001 for 16.
"""

_base_ = ['mmdet::atss/atss_r50_fpn_1x_coco.py', '../_base_/recipe.py']
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(
    constructor='BackboneDecayConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0001, weight_decay=0.05),
)
train_cfg = dict(type='ResumableEpochLoop')
