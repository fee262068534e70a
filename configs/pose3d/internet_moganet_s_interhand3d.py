"""InterNet, MogaNet-S, InterHand2.6M, 256 x 256, 20 epochs.

train      python tools/train.py configs/pose3d/internet_moganet_s_interhand3d.py
test       python tools/test.py configs/pose3d/internet_moganet_s_interhand3d.py CHECKPOINT
source     mmpose::hand_3d_keypoint/internet/interhand3d/
           internet_res50_4xb16-20e_interhand3d-256x256.py
           https://arxiv.org/abs/2008.09309
published  none: there is no official 3D result of MogaNet; mmpose's ResNet-50 has MPJPE 11.86
           in all (mm); not run here, not run at scale
"""

_base_ = [
    'mmpose::hand_3d_keypoint/internet/interhand3d/internet_res50_4xb16-20e_interhand3d-256x256.py',
    '../_base_/run_hooks.py',
]
custom_imports = dict(imports=['moganet_dense', 'moganet_dense.pose3d'], allow_failed_imports=False)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = dict(
    backbone=dict(
        _delete_=True,
        type='MogaNet',
        arch='s',
        out_indices=(3,),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    head=dict(
        keypoint_head_cfg=dict(in_channels=512),
        root_head_cfg=dict(in_channels=512),
        hand_type_head_cfg=dict(in_channels=512),
    ),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(_delete_=True, type='ResumableEpochLoop', max_epochs=20, val_interval=1)
