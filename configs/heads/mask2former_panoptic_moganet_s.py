"""Mask2Former, MogaNet-S, COCO panoptic, 50 epochs.

train      python tools/train.py configs/heads/mask2former_panoptic_moganet_s.py
test       python tools/test.py configs/heads/mask2former_panoptic_moganet_s.py CHECKPOINT
source     mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py
           https://arxiv.org/abs/2112.01527
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.0001 and AdamW are the recipe's own.
"""

_base_ = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    '../_base_/run_hooks.py',
]
custom_imports = dict(
    imports=['moganet_dense', 'moganet_dense.evaluation.panoptic_quality'],
    allow_failed_imports=False,
)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = dict(
    backbone=dict(
        _delete_=True,
        type='MogaNet',
        arch='s',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    panoptic_head=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
# mmdet's transform and metric need panopticapi, which no package registry has
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1]['type'] = test_pipeline[2]['type'] = 'LoadPanopticMaps'
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = _base_.val_evaluator
val_evaluator[0] = dict(
    type='PanopticQualityMetric',
    ann_file='data/coco/annotations/panoptic_val2017.json',
    seg_prefix='data/coco/annotations/panoptic_val2017/',
)
test_evaluator = val_evaluator
