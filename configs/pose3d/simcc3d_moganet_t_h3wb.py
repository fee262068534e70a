"""SimCC with depth (RTMW3D), MogaNet-T, H3WB, 133 keypoints, 256 x 192, 20 epochs.

train      python tools/train.py configs/pose3d/simcc3d_moganet_t_h3wb.py
test       python tools/test.py configs/pose3d/simcc3d_moganet_t_h3wb.py CHECKPOINT
source     https://arxiv.org/abs/2211.15692, https://arxiv.org/abs/2407.08634
published  none: there is no official 3D result of MogaNet; not run here
"""

_base_ = 'simcc3d_moganet_s_h3wb.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256),
)
