"""Mask2Former, MogaNet-S, COCO panoptic, 50 epochs.

train      python tools/train.py configs/heads/mask2former_panoptic_moganet_s.py
test       python tools/test.py configs/heads/mask2former_panoptic_moganet_s.py CHECKPOINT
source     mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py
           https://arxiv.org/abs/2112.01527
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.0001 and AdamW are the recipe's own.
"""

_base_ = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True),
    panoptic_head=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
