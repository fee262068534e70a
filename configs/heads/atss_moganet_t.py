"""ATSS, MogaNet-T, COCO boxes, 1x schedule.

train      python tools/train.py configs/heads/atss_moganet_t.py
test       python tools/test.py configs/heads/atss_moganet_t.py CHECKPOINT
source     mmdet::atss/atss_r50_fpn_1x_coco.py
           https://arxiv.org/abs/1912.02424
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'atss_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
