"""MogaNet-XL, ImageNet-1k, 224 x 224, official recipe.

train      python tools/train.py configs/cls/moganet_xl.py
test       python tools/test.py configs/cls/moganet_xl.py CHECKPOINT
published  top-1 85.1, top-5 97.4 on ImageNet-1k (https://github.com/Westlake-AI/MogaNet);
           not run here
           the result is that of the average, which the file holds as state_dict_ema
           the published log is that of OpenMixup's double-gate run: if top-1 is far off, try
           --cfg-options model.backbone.gate=double
"""

_base_ = 'moganet_s.py'
model = dict(
    backbone=dict(arch='xl', drop_path_rate=0.4),
    head=dict(in_channels=960),
)
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=512)
