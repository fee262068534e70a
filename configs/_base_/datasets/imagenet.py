# ImageNet-1k at 224, and the steps that the recipes' pipelines are made of.
dataset_type = 'ImageNet'
data_root = 'data/imagenet'
bgr_mean = [103.53, 116.28, 123.675]
bgr_std = [57.375, 57.12, 58.395]

load = dict(type='LoadImageFromFile')
crop = dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
rand_augment = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[round(value) for value in bgr_mean], interpolation='bicubic'),
)
# Noise of the data's mean and deviation: what timm draws after normalising.
erasing = dict(
    type='RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=bgr_mean,
    fill_std=bgr_std,
)
# The crop is 0.9 of the short side: 248 for 224, 284 for 256.
resize = dict(type='ResizeEdge', scale=248, edge='short', backend='pillow', interpolation='bicubic')
center = dict(type='CenterCrop', crop_size=224)
pack = dict(type='PackInputs')

train_pipeline = [load, crop, flip, rand_augment, erasing, pack]
test_pipeline = [load, resize, center, pack]

train_dataloader = dict(
    batch_size=128,  # on each of 8 GPUs
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),  # one tensor, which is copied to the GPU at once
    dataset=dict(type=dataset_type, data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=1024)
