"""Top-down heatmaps, MogaNet-B, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_b_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_b_384x288.py CHECKPOINT
published  AP 77.3, AR 82.2 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_384x288.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.4, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=_base_.optim_wrapper.optimizer)
