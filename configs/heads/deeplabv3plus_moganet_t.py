"""DeepLabV3+, MogaNet-T, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/deeplabv3plus_moganet_t.py
test       python tools/test.py configs/heads/deeplabv3plus_moganet_t.py CHECKPOINT
source     mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py
           https://arxiv.org/abs/1802.02611
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'deeplabv3plus_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    decode_head=dict(in_channels=256, c1_in_channels=32),
    auxiliary_head=dict(in_channels=128),
)
