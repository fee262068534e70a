"""MogaNet-XL, ImageNet-1k, 224 x 224, recipe of mmpretrain's pull request.

train      python tools/train.py configs/cls/reproductions/moganet_xl_mmpretrain.py
test       python tools/test.py configs/cls/reproductions/moganet_xl_mmpretrain.py CHECKPOINT
published  top-1 85.11, top-5 97.38 on ImageNet-1k (https://github.com/open-mmlab/mmpretrain/pull/1691);
           not run here
"""

_base_ = 'moganet_l_mmpretrain.py'
model = dict(
    backbone=dict(arch='xl', drop_path_rate=0.4, gate='double'),
    head=dict(in_channels=960),
)
train_dataloader = dict(batch_size=32)  # on each of 16 GPUs
auto_scale_lr = dict(base_batch_size=512)
