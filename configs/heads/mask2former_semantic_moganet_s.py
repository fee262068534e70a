"""Mask2Former, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/mask2former_semantic_moganet_s.py
test       python tools/test.py configs/heads/mask2former_semantic_moganet_s.py CHECKPOINT
source     mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py
           https://arxiv.org/abs/2112.01527
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.0001 and AdamW are the recipe's own.
"""

_base_ = [
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True, norm_cfg=dict(type='SyncBN')),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
