"""Semantic FPN, MogaNet-S, ADE20K, 80k iterations.

train      python tools/train.py configs/seg/sem_fpn_moganet_s.py
test       python tools/test.py configs/seg/sem_fpn_moganet_s.py CHECKPOINT
published  mIoU 47.7, mAcc 59.8, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = [
    '../_base_/models/sem_fpn_moganet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_80k.py',
    '../_base_/seg_runtime.py',
]
train_dataloader = dict(batch_size=4)  # on each of 8 GPUs
default_hooks = dict(checkpoint=dict(interval=4_000, max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=32)
