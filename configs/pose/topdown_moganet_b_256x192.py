"""Top-down heatmaps, MogaNet-B, COCO keypoints, 256 x 192.

train      python tools/train.py configs/pose/topdown_moganet_b_256x192.py
test       python tools/test.py configs/pose/topdown_moganet_b_256x192.py CHECKPOINT
published  AP 75.3, AR 80.7 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_256x192.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
)
