"""RTMPose-m (SimCC), MogaNet-S, COCO keypoints, 256 x 192, 420 epochs.

train      python tools/train.py configs/heads/rtmpose_moganet_s.py
test       python tools/test.py configs/heads/rtmpose_moganet_s.py CHECKPOINT
source     mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py
           https://arxiv.org/abs/2303.07399
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.004 and AdamW are the recipe's own.
Blur and dropout of patches are albumentations' (`pip install albumentations`); --mini does without.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True, out_indices=(3,), norm_cfg=dict(type='SyncBN')),
    head=dict(type='DeviceRTMCCHead', in_channels=512),
    data_preprocessor=dict(type='DevicePoseDataPreprocessor'),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
average = dict(_base_.custom_hooks[0], ema_type='DeviceExpMomentumEMA')
custom_hooks = [average, *_base_.custom_hooks[1:]]
train_cfg = dict(_delete_=True, type='ResumableEpochLoop', max_epochs=420, val_interval=10)
