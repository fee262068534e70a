"""SimCC with depth (RTMW3D), MogaNet-T, drawn bodies, 128 x 128, 20 epochs.

train      python tools/train.py configs/pose3d/simcc3d_moganet_t_figures.py
test       python tools/test.py configs/pose3d/simcc3d_moganet_t_figures.py CHECKPOINT
published  none: there is no official 3D result of MogaNet; not run here at this length
"""

_base_ = 'simcc3d_moganet_s_figures.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256),
)
