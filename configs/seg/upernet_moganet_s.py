"""UPerNet, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_s.py
test       python tools/test.py configs/seg/upernet_moganet_s.py CHECKPOINT
published  mIoU 49.2, mAcc 61.6, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/upernet_moganet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/seg_runtime.py',
]
