"""MogaNet-B, ImageNet-1k, RSB A3 by OpenMixup: trained at 160, tested at 224.

train      python tools/train.py configs/cls/reproductions/moganet_b_rsb_a3.py
test       python tools/test.py configs/cls/reproductions/moganet_b_rsb_a3.py CHECKPOINT
published  top-1 82.2, top-5 95.9 on ImageNet-1k (https://github.com/Westlake-AI/openmixup);
           not run here
"""

_base_ = 'moganet_s_rsb_a3.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2),
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(accumulative_counts=2)
