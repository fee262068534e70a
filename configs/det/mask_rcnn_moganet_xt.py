"""Mask R-CNN, MogaNet-XT, COCO, 1x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_xt.py
test       python tools/test.py configs/det/mask_rcnn_moganet_xt.py CHECKPOINT
published  box AP 40.7, mask AP 37.6 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'mask_rcnn_moganet_s.py'
model = dict(
    backbone=dict(
        arch='xt', drop_path_rate=0.05, init_cfg=dict(checkpoint='moganet://xt_in1k_224')
    ),
    neck=dict(in_channels=[32, 64, 96, 192]),
)
