"""UPerNet, MogaNet-B, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_b.py
test       python tools/test.py configs/seg/upernet_moganet_b.py CHECKPOINT
published  mIoU 50.1, mAcc 63.4, single scale
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'upernet_moganet_s.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    decode_head=dict(in_channels=[64, 160, 320, 512]),
)
