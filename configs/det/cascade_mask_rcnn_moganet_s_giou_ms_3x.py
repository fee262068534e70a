"""Cascade Mask R-CNN with GIoU, MogaNet-S, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/cascade_mask_rcnn_moganet_s_giou_ms_3x.py
test       python tools/test.py configs/det/cascade_mask_rcnn_moganet_s_giou_ms_3x.py CHECKPOINT
published  box AP 51.7, mask AP 45.1 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/cascade_mask_rcnn_giou_moganet.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_3x.py',
    '../_base_/det_runtime.py',
]
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=36, milestones=[27, 33], gamma=0.1),
]
