"""RetinaNet, MogaNet-B, COCO, 1x schedule.

train      python tools/train.py configs/det/retinanet_moganet_b.py
test       python tools/test.py configs/det/retinanet_moganet_b.py CHECKPOINT
published  box AP 47.7 on val2017 (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'retinanet_moganet_s.py'
model = dict(
    backbone=dict(arch='b', drop_path_rate=0.2, init_cfg=dict(checkpoint='moganet://b_in1k_224')),
    neck=dict(in_channels=[64, 160, 320, 512]),
)
