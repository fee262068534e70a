"""DeepLabV3+, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/deeplabv3plus_moganet_s.py
test       python tools/test.py configs/heads/deeplabv3plus_moganet_s.py CHECKPOINT
source     mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py
           https://arxiv.org/abs/1802.02611
published  none with MogaNet; not run at scale, not run here on the whole data set

SGD is replaced by AdamW as in MogaNet's published recipe: 0.0001 for 16 images, 0.0001 for 16.
Maps have strides (4, 8, 16, 32), those of the old backbone had (4, 8, 8, 8).
"""

_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True, norm_cfg=dict(type='SyncBN')),
    decode_head=dict(in_channels=512, c1_in_channels=64),
    auxiliary_head=dict(in_channels=320),
    pretrained=None,
)
optim_wrapper = dict(
    constructor='BackboneDecayConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0001, weight_decay=0.01),
)
train_cfg = dict(type='ResumableIterLoop')
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-06, power=0.9, begin=0, end=160000, by_epoch=False)
]
