"""GFL, MogaNet-T, COCO boxes, 1x schedule.

train      python tools/train.py configs/heads/gfl_moganet_t.py
test       python tools/test.py configs/heads/gfl_moganet_t.py CHECKPOINT
source     mmdet::gfl/gfl_r50_fpn_1x_coco.py
           https://arxiv.org/abs/2006.04388
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'gfl_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
