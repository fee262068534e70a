"""Mask2Former, MogaNet-T, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/mask2former_semantic_moganet_t.py
test       python tools/test.py configs/heads/mask2former_semantic_moganet_t.py CHECKPOINT
source     mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py
           https://arxiv.org/abs/2112.01527
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'mask2former_semantic_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    decode_head=dict(in_channels=[32, 64, 128, 256]),
)
