"""UPerNet, MogaNet-T, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_t.py
test       python tools/test.py configs/seg/upernet_moganet_t.py CHECKPOINT
published  mIoU 43.7, mAcc 57.1, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'upernet_moganet_s.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    decode_head=dict(in_channels=[32, 64, 128, 256]),
    auxiliary_head=dict(in_channels=128),
)
