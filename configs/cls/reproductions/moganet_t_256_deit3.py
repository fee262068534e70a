"""MogaNet-T, ImageNet-1k, 256 x 256, OpenMixup's recipe after DeiT III.

train      python tools/train.py configs/cls/reproductions/moganet_t_256_deit3.py
test       python tools/test.py configs/cls/reproductions/moganet_t_256_deit3.py CHECKPOINT
published  top-1 80.0, top-5 95.0 on ImageNet-1k (https://github.com/Westlake-AI/openmixup);
           not run here
"""

_base_ = 'moganet_t_256_openmixup.py'
three_augment = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='RandomGrayscale', prob=1.0, keep_channels=True)],
        [dict(type='Solarize', thr=128, prob=1.0)],
        [dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=1.0)],
    ],
)
jitter = dict(type='ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3)
train_pipeline = [_base_.load, _base_.crop, _base_.flip, three_augment, jitter, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(_base_.warmup, end=20), dict(_base_.cosine, eta_min=1e-6)]
