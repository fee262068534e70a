"""DINO with 4 scales, MogaNet-T, COCO boxes, 12 epochs.

train      python tools/train.py configs/heads/dino_moganet_t.py
test       python tools/test.py configs/heads/dino_moganet_t.py CHECKPOINT
source     mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py
           https://arxiv.org/abs/2203.03605
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'dino_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[64, 128, 256]),
)
