"""Top-down heatmaps, MogaNet-T, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_t_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_t_384x288.py CHECKPOINT
published  AP 75.7, AR 80.9 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/topdown_moganet.py',
    '../_base_/datasets/coco_keypoints_384x288.py',
    '../_base_/schedules/adam_210e.py',
    '../_base_/pose_runtime.py',
]
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.15, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256, decoder=_base_.codec),
)
