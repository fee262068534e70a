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
    '../_base_/run_hooks.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = dict(
    backbone=dict(
        _delete_=True,
        type='MogaNet',
        arch='s',
        out_indices=(1, 2, 3),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    neck=dict(in_channels=[128, 320, 512]),
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor', paramwise_cfg=dict(_delete_=True))
train_cfg = dict(
    _delete_=True,
    type='ResumableEpochLoop',
    max_epochs=600,
    val_interval=20,
    dynamic_intervals=[(580, 1)],
)
