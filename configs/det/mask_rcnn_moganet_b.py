"""Mask R-CNN, MogaNet-B, COCO, 1x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_b.py
test       python tools/test.py configs/det/mask_rcnn_moganet_b.py CHECKPOINT
published  box AP 49.0, mask AP 43.8 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'mask_rcnn_moganet_s.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
