"""RTMO-m, MogaNet-S, COCO keypoints, 640 x 640, 600 epochs.

train      python tools/train.py configs/heads/rtmo_moganet_s.py
test       python tools/test.py configs/heads/rtmo_moganet_s.py CHECKPOINT
source     mmpose::body_2d_keypoint/rtmo/coco/rtmo-m_16xb16-600e_coco-640x640.py
           https://arxiv.org/abs/2312.07526
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.004 and AdamW are the recipe's own.
The recipe's ForceDefaultOptimWrapperConstructor knows the layers of its own backbone and is
left out.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmo/coco/rtmo-m_16xb16-600e_coco-640x640.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[128, 320, 512]),
    data_preprocessor=_base_.imagenet_rgb,
)
optim_wrapper = dict(constructor='BackboneDecayConstructor', paramwise_cfg=dict(_delete_=True))
average = dict(_base_.custom_hooks[3], ema_type='DeviceExpMomentumEMA')
custom_hooks = [*_base_.custom_hooks[:3], average]
train_cfg = dict(
    _delete_=True,
    type='ResumableEpochLoop',
    max_epochs=600,
    val_interval=20,
    dynamic_intervals=[(580, 1)],
)
