"""MogaNet-B, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_b.py
test       python tools/test.py configs/cls/moganet_b.py CHECKPOINT
published  top-1 84.3, top-5 97.0 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
           the result is that of the average, which the file holds as state_dict_ema
"""

_base_ = 'moganet_s.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2),
)
