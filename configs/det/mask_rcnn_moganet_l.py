"""Mask R-CNN, MogaNet-L, COCO, 1x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_l.py
test       python tools/test.py configs/det/mask_rcnn_moganet_l.py CHECKPOINT
published  box AP 49.4, mask AP 44.2 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'mask_rcnn_moganet_s.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://l_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 640]),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
