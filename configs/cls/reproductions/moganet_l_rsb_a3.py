"""MogaNet-L, ImageNet-1k, RSB A3 by OpenMixup: trained at 160, tested at 224.

train      python tools/train.py configs/cls/reproductions/moganet_l_rsb_a3.py
test       python tools/test.py configs/cls/reproductions/moganet_l_rsb_a3.py CHECKPOINT
published  top-1 83.2, top-5 96.4 on ImageNet-1k (https://github.com/Westlake-AI/openmixup);
           not run here
"""

_base_ = 'moganet_s_rsb_a3.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.4),
    head=dict(in_channels=640),
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(accumulative_counts=2, clip_grad=dict(max_norm=10))
