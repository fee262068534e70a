"""RetinaNet, MogaNet-T, COCO, 1x schedule.

train      python tools/train.py configs/det/retinanet_moganet_t.py
test       python tools/test.py configs/det/retinanet_moganet_t.py CHECKPOINT
published  box AP 41.4 on val2017 (table of https://github.com/Westlake-AI/MogaNet); not run here
"""

_base_ = 'retinanet_moganet_s.py'
model = dict(
    backbone=dict(arch='t', drop_path_rate=0.1, init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
