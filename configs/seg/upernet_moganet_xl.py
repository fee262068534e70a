"""UPerNet, MogaNet-XL, ADE20K, 160k iterations.

train      python tools/train.py configs/seg/upernet_moganet_xl.py
test       python tools/test.py configs/seg/upernet_moganet_xl.py CHECKPOINT
published  a config without result or weights (https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'upernet_moganet_s.py'
model = dict(
    backbone=dict(arch='xl', drop_path_rate=0.4, init_cfg=dict(checkpoint='moganet://xl_in1k_224')),
    decode_head=dict(in_channels=[96, 192, 480, 960]),
    auxiliary_head=dict(in_channels=480),
)
