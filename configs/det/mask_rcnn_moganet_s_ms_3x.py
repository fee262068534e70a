"""Mask R-CNN, MogaNet-S, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/mask_rcnn_moganet_s_ms_3x.py
test       python tools/test.py configs/det/mask_rcnn_moganet_s_ms_3x.py CHECKPOINT
published  box AP 48.5, mask AP 43.1 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/mask_rcnn_moganet.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_3x.py',
    '../_base_/det_runtime.py',
]
