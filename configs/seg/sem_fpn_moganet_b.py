"""Semantic FPN, MogaNet-B, ADE20K, 80k iterations.

train      python tools/train.py configs/seg/sem_fpn_moganet_b.py
test       python tools/test.py configs/seg/sem_fpn_moganet_b.py CHECKPOINT
published  mIoU 49.3, mAcc 61.6, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'sem_fpn_moganet_s.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 512]),
)
