"""Top-down heatmaps, MogaNet-T, COCO keypoints, 384 x 288.

train      python tools/train.py configs/pose/topdown_moganet_t_384x288.py
test       python tools/test.py configs/pose/topdown_moganet_t_384x288.py CHECKPOINT
published  AP 75.7, AR 80.9 on val2017 (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'topdown_moganet_s_384x288.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.15, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256),
)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=_base_.optim_wrapper.optimizer)
