"""Semantic FPN, MogaNet-XT, ADE20K, 80k iterations.

train      python tools/train.py configs/seg/sem_fpn_moganet_xt.py
test       python tools/test.py configs/seg/sem_fpn_moganet_xt.py CHECKPOINT
published  mIoU 40.3, mAcc 52.4, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'sem_fpn_moganet_s.py'
model = dict(
    backbone=dict(
        arch='xt', drop_path_rate=0.05, init_cfg=dict(checkpoint='moganet://xt_in1k_224')
    ),
    neck=dict(in_channels=[32, 64, 96, 192]),
)
