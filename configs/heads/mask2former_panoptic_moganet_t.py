"""Mask2Former, MogaNet-T, COCO panoptic, 50 epochs.

train      python tools/train.py configs/heads/mask2former_panoptic_moganet_t.py
test       python tools/test.py configs/heads/mask2former_panoptic_moganet_t.py CHECKPOINT
source     mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py
           https://arxiv.org/abs/2112.01527
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'mask2former_panoptic_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    panoptic_head=dict(in_channels=[32, 64, 128, 256]),
)
