"""Mask R-CNN, MogaNet-S, COCO, 1x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_s.py
test       python tools/test.py configs/det/mask_rcnn_moganet_s.py CHECKPOINT
published  box AP 46.6, mask AP 42.2 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/mask_rcnn_moganet.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/det_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=2e-4))
