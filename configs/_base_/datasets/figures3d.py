# Bodies of random poses, drawn from 17 keypoints in space by a known camera; nothing is on disk.
_base_ = 'meta_keys_3d.py'
codec = dict(type='SimCC3DLabel', input_size=(128, 128, 128), sigma=(3.0, 3.0, 3.0))
pipeline = [
    dict(type='TopdownAffine', input_size=(128, 128)),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='Figures3D', length=32_768, seed=0, image_size=256, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='Figures3D', length=512, seed=1, image_size=256, pipeline=pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Pose3DMetric')
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=32)
