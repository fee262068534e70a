"""Top-down heatmaps, MogaNet-S, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_s_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_s_384x288.py CHECKPOINT
published  AP 76.4, AR 81.4 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/topdown_moganet.py',
    '../_base_/datasets/coco_keypoints_384x288.py',
    '../_base_/schedules/adam_210e.py',
    '../_base_/pose_runtime.py',
]
model = dict(head=dict(decoder=_base_.codec))
# the only pose model that was trained in half precision
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
