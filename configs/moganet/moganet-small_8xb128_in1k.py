"""MogaNet-S, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/moganet/moganet-small_8xb128_in1k.py
test       python tools/test.py configs/moganet/moganet-small_8xb128_in1k.py CHECKPOINT
published  top-1 83.38, top-5 96.58 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here

The path that mmpretrain's pull request publishes for this model.
"""

_base_ = '../cls/reproductions/moganet_s_mmpretrain.py'
