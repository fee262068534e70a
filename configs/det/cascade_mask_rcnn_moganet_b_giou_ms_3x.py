"""Cascade Mask R-CNN with GIoU, MogaNet-B, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/cascade_mask_rcnn_moganet_b_giou_ms_3x.py
test       python tools/test.py configs/det/cascade_mask_rcnn_moganet_b_giou_ms_3x.py CHECKPOINT
published  box AP 52.6, mask AP 46.0 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'cascade_mask_rcnn_moganet_s_giou_ms_3x.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 512]),
)
optim_wrapper = dict(
    constructor='MogaNetLayerDecay',
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8, rule='published'),
)
