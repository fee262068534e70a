"""InterNet, MogaNet-T, InterHand2.6M, 256 x 256, 20 epochs.

train      python tools/train.py configs/pose3d/internet_moganet_t_interhand3d.py
test       python tools/test.py configs/pose3d/internet_moganet_t_interhand3d.py CHECKPOINT
source     mmpose::hand_3d_keypoint/internet/interhand3d/
           internet_res50_4xb16-20e_interhand3d-256x256.py
           https://arxiv.org/abs/2008.09309
published  none: there is no official 3D result of MogaNet; mmpose's ResNet-50 has MPJPE 11.86
           in all (mm); not run here, not run at scale
"""

_base_ = 'internet_moganet_s_interhand3d.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(
        keypoint_head_cfg=dict(in_channels=256),
        root_head_cfg=dict(in_channels=256),
        hand_type_head_cfg=dict(in_channels=256),
    ),
)
