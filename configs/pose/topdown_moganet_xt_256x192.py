"""Top-down heatmaps, MogaNet-XT, COCO keypoints, 256 x 192.

train      python tools/train.py configs/pose/topdown_moganet_xt_256x192.py
test       python tools/test.py configs/pose/topdown_moganet_xt_256x192.py CHECKPOINT
published  AP 72.1, AR 77.7 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_256x192.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://xt_in1k_224')),
    head=dict(in_channels=192),
)
