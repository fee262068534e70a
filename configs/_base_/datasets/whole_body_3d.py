# H3WB (https://arxiv.org/abs/2211.15692): 133 keypoints in space, on images of Human3.6M; the
# first fifth is held out, as in the first fold of the authors' cross-validation.
_base_ = 'meta_keys_3d.py'
data_root = 'data/h3wb/'
codec = dict(
    type='SimCC3DLabel',
    input_size=(192, 256, 256),
    sigma=(4.9, 5.66, 5.66),
    depth_range=1.1,
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomBBoxTransform', scale_factor=(0.6, 1.4), rotate_factor=80),
    dict(type='TopdownAffine', input_size=codec['input_size'][:2]),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=_base_.meta_keys),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size'][:2]),
    dict(type='PackPoseInputs', meta_keys=_base_.meta_keys),
]
people = dict(
    type='H3WBDataset',
    data_root=data_root,
    keypoint_files=[f'annotations/2Dto3D_train_part{part}.json' for part in range(1, 6)],
    image_file='annotations/RGBto3D_train.json',
    fold=1,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**people, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**people, test_mode=True, pipeline=val_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Pose3DMetric', roots=(11, 12))  # the middle of the hips
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=32)
