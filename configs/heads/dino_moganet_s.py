"""DINO with 4 scales, MogaNet-S, COCO boxes, 12 epochs.

train      python tools/train.py configs/heads/dino_moganet_s.py
test       python tools/test.py configs/heads/dino_moganet_s.py CHECKPOINT
source     mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py
           https://arxiv.org/abs/2203.03605
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.0001 and AdamW are the recipe's own.
"""

_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', '../_base_/recipe.py']
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[128, 320, 512]),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableEpochLoop')
