"""Semantic FPN, MogaNet-T, ADE20K, 80k iterations.

train      python tools/train.py configs/seg/sem_fpn_moganet_t.py
test       python tools/test.py configs/seg/sem_fpn_moganet_t.py CHECKPOINT
published  mIoU 43.1, mAcc 55.4, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'sem_fpn_moganet_s.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
