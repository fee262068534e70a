"""Top-down heatmaps, MogaNet-S, COCO keypoints, 256 x 192.

train      python tools/train.py configs/pose/topdown_moganet_s_256x192.py
test       python tools/test.py configs/pose/topdown_moganet_s_256x192.py CHECKPOINT
published  AP 74.9, AR 80.1 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/topdown_moganet.py',
    '../_base_/datasets/coco_keypoints_256x192.py',
    '../_base_/schedules/adam_210e.py',
    '../_base_/pose_runtime.py',
]
model = dict(head=dict(decoder=_base_.codec))
