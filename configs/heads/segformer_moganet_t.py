"""SegFormer's head, MogaNet-T, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/segformer_moganet_t.py
test       python tools/test.py configs/heads/segformer_moganet_t.py CHECKPOINT
source     mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py
           https://arxiv.org/abs/2105.15203
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'segformer_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    decode_head=dict(in_channels=[32, 64, 128, 256]),
)
