"""UPerNet, MogaNet-L, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_l.py
test       python tools/test.py configs/seg/upernet_moganet_l.py CHECKPOINT
published  mIoU 50.9, mAcc 63.5, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'upernet_moganet_s.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://l_in1k_224')),
    decode_head=dict(in_channels=[64, 160, 320, 640]),
)
