"""MogaNet-XL, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/moganet/moganet-xlarge_16xb32_in1k.py
test       python tools/test.py configs/moganet/moganet-xlarge_16xb32_in1k.py CHECKPOINT
published  top-1 85.11, top-5 97.38 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here

The path that mmpretrain's pull request publishes for this model.
"""

_base_ = '../cls/reproductions/moganet_xl_mmpretrain.py'
