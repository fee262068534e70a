"""Top-down heatmaps, MogaNet-T, COCO keypoints, 256 x 192.

train      python tools/train.py configs/pose/topdown_moganet_t_256x192.py
test       python tools/test.py configs/pose/topdown_moganet_t_256x192.py CHECKPOINT
published  AP 73.2, AR 78.8 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_256x192.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.15, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256),
)
