"""Cascade Mask R-CNN, MogaNet-S, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/cascade_mask_rcnn_moganet_s_ms_3x.py
test       python tools/test.py configs/det/cascade_mask_rcnn_moganet_s_ms_3x.py CHECKPOINT
published  box AP 51.4, mask AP 44.9 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/cascade_mask_rcnn_moganet.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_3x.py',
    '../_base_/det_runtime.py',
]
