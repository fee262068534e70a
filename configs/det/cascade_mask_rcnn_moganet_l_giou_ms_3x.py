"""Cascade Mask R-CNN with GIoU, MogaNet-L, COCO, many scales, 3x schedule.

train      python tools/train.py configs/det/cascade_mask_rcnn_moganet_l_giou_ms_3x.py
test       python tools/test.py configs/det/cascade_mask_rcnn_moganet_l_giou_ms_3x.py CHECKPOINT
published  box AP 53.3, mask AP 46.1 on val2017
           (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'cascade_mask_rcnn_moganet_s_giou_ms_3x.py'
model = dict(
    backbone=dict(arch='l', drop_path_rate=0.3, init_cfg=dict(checkpoint='moganet://l_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 640]),
)
optim_wrapper = dict(
    constructor='MogaNetLayerDecay',
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8, rule='published'),
)
