"""Mask R-CNN, MogaNet-T, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_t_ms_3x.py
test       python tools/test.py configs/det/mask_rcnn_moganet_t_ms_3x.py CHECKPOINT
published  box AP 45.3, mask AP 40.7 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'mask_rcnn_moganet_s_ms_3x.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
