"""MogaNet-XT, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/moganet/moganet-xtiny_8xb128_in1k.py
test       python tools/test.py configs/moganet/moganet-xtiny_8xb128_in1k.py CHECKPOINT
published  top-1 76.48, top-5 93.49 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here

The path that mmpretrain's pull request publishes for this model.
"""

_base_ = '../cls/reproductions/moganet_xt_mmpretrain.py'
