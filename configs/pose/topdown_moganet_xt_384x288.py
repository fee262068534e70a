"""Top-down heatmaps, MogaNet-XT, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_xt_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_xt_384x288.py CHECKPOINT
published  AP 74.7, AR 79.9 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_384x288.py'
model = dict(
    backbone=dict(arch='xt', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://xt_in1k_224')),
    head=dict(in_channels=192),
)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=_base_.optim_wrapper.optimizer)
