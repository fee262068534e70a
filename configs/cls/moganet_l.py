"""MogaNet-L, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_l.py
test       python tools/test.py configs/cls/moganet_l.py CHECKPOINT
published  top-1 84.7, top-5 97.1 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
           the result is that of the average, which the file holds as state_dict_ema
"""

_base_ = 'moganet_s.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3),
    head=dict(in_channels=640),
)
# 8 x 64, as the name of the published file says; the published command says 8 x 128
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=512)
