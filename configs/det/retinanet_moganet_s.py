"""RetinaNet, MogaNet-S, COCO, 1x schedule.

train      python tools/train.py configs/det/retinanet_moganet_s.py
test       python tools/test.py configs/det/retinanet_moganet_s.py CHECKPOINT
published  box AP 45.8 on val2017 (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/retinanet_moganet.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/det_runtime.py',
]
