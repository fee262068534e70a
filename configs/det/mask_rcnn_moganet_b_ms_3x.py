"""Mask R-CNN, MogaNet-B, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_b_ms_3x.py
test       python tools/test.py configs/det/mask_rcnn_moganet_b_ms_3x.py CHECKPOINT
published  box AP 50.3, mask AP 44.4 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'mask_rcnn_moganet_s_ms_3x.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 512]),
)
