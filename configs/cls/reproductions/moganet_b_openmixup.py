"""MogaNet-B, ImageNet-1k, 224 x 224, OpenMixup's recipe.

train      python tools/train.py configs/cls/reproductions/moganet_b_openmixup.py
test       python tools/test.py configs/cls/reproductions/moganet_b_openmixup.py CHECKPOINT
published  top-1 84.3 on ImageNet-1k (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_s_openmixup.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2),
)
