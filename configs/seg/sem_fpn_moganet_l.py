"""Semantic FPN, MogaNet-L, ADE20K, 80k iterations.

train      python tools/train.py configs/seg/sem_fpn_moganet_l.py
test       python tools/test.py configs/seg/sem_fpn_moganet_l.py CHECKPOINT
published  mIoU 50.2, mAcc 63.0, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'sem_fpn_moganet_s.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://l_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 640]),
)
