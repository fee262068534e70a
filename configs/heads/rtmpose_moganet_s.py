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
    '../_base_/run_hooks.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = dict(
    backbone=dict(
        _delete_=True,
        type='MogaNet',
        arch='s',
        out_indices=(3,),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
        norm_cfg=dict(type='SyncBN'),
    ),
    head=dict(in_channels=512),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(_delete_=True, type='ResumableEpochLoop', max_epochs=420, val_interval=10)
