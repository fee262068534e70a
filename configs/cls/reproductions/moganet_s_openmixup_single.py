"""MogaNet-S, ImageNet-1k, 224 x 224, OpenMixup's recipe with the single gate.

train      python tools/train.py configs/cls/reproductions/moganet_s_openmixup_single.py
test       python tools/test.py configs/cls/reproductions/moganet_s_openmixup_single.py CHECKPOINT
published  weights, no result (https://github.com/Westlake-AI/openmixup); not run here
"""

_base_ = 'moganet_s_openmixup.py'
model = dict(backbone=dict(gate='single'))
