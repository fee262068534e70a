"""Deformable DETR, MogaNet-T, COCO boxes, 50 epochs.

train      python tools/train.py configs/heads/deformable_detr_moganet_t.py
test       python tools/test.py configs/heads/deformable_detr_moganet_t.py CHECKPOINT
source     mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py
           https://arxiv.org/abs/2010.04159
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'deformable_detr_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[64, 128, 256]),
)
