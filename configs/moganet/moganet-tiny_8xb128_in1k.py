"""MogaNet-T, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/moganet/moganet-tiny_8xb128_in1k.py
test       python tools/test.py configs/moganet/moganet-tiny_8xb128_in1k.py CHECKPOINT
published  top-1 77.24, top-5 93.51 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
           (77.24 does not fit the file it was converted from, which has 79.0)

The path that mmpretrain's pull request publishes for this model.
"""

_base_ = '../cls/reproductions/moganet_t_mmpretrain.py'
