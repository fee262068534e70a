"""RTMDet-Ins-m, MogaNet-S, COCO masks, 300 epochs.

train      python tools/train.py configs/heads/rtmdet_ins_moganet_s.py
test       python tools/test.py configs/heads/rtmdet_ins_moganet_s.py CHECKPOINT
source     mmdet::rtmdet/rtmdet-ins_m_8xb32-300e_coco.py
           https://arxiv.org/abs/2212.07784
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.004 and AdamW are the recipe's own.
"""

_base_ = ['mmdet::rtmdet/rtmdet-ins_m_8xb32-300e_coco.py', '../_base_/recipe.py']
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(
        _base_.moganet_s, _delete_=True, out_indices=(1, 2, 3), norm_cfg=dict(type='SyncBN')
    ),
    neck=dict(in_channels=[128, 320, 512]),
    data_preprocessor=_base_.imagenet_rgb,
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
average = dict(_base_.custom_hooks[0], ema_type='DeviceExpMomentumEMA')
custom_hooks = [average, *_base_.custom_hooks[1:]]
train_cfg = dict(type='ResumableEpochLoop')
