"""MogaNet-T, ImageNet-1k, RSB A3 by OpenMixup: trained at 160, tested at 224.

train      python tools/train.py configs/cls/reproductions/moganet_t_rsb_a3.py
test       python tools/test.py configs/cls/reproductions/moganet_t_rsb_a3.py CHECKPOINT
published  top-1 75.4, top-5 92.6 on ImageNet-1k (https://github.com/Westlake-AI/openmixup);
           not run here
"""

_base_ = 'moganet_s_rsb_a3.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1),
    head=dict(in_channels=256),
)
