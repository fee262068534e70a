"""UPerNet, MogaNet-XT, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_xt.py
test       python tools/test.py configs/seg/upernet_moganet_xt.py CHECKPOINT
published  mIoU 42.2, mAcc 55.1, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'upernet_moganet_s.py'
model = dict(
    backbone=dict(
        arch='xt', drop_path_rate=0.05, init_cfg=dict(checkpoint='moganet://xt_in1k_224')
    ),
    decode_head=dict(in_channels=[32, 64, 96, 192]),
    auxiliary_head=dict(in_channels=96),
)
