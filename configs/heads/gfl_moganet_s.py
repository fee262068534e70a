"""GFL, MogaNet-S, COCO boxes, 1x schedule.

train      python tools/train.py configs/heads/gfl_moganet_s.py
test       python tools/test.py configs/heads/gfl_moganet_s.py CHECKPOINT
source     mmdet::gfl/gfl_r50_fpn_1x_coco.py
           https://arxiv.org/abs/2006.04388
published  none with MogaNet; not run at scale, not run here on the whole data set

SGD is replaced by AdamW as in MogaNet's published recipe: 0.0001 for 16 images, 0.0001 for 16.
"""

_base_ = ['mmdet::gfl/gfl_r50_fpn_1x_coco.py', '../_base_/run_hooks.py']
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
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
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(
    constructor='BackboneDecayConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0001, weight_decay=0.05),
)
train_cfg = dict(type='ResumableEpochLoop')
