"""Top-down heatmaps, MogaNet-B, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_b_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_b_384x288.py CHECKPOINT
published  AP 77.3, AR 82.2 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/topdown_moganet.py',
    '../_base_/datasets/coco_keypoints_384x288.py',
    '../_base_/schedules/adam_210e.py',
    '../_base_/pose_runtime.py',
]
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.4, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    head=dict(decoder=_base_.codec),
)
