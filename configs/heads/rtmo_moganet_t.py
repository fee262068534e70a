"""RTMO-m, MogaNet-T, COCO keypoints, 640 x 640, 600 epochs.

train      python tools/train.py configs/heads/rtmo_moganet_t.py
test       python tools/test.py configs/heads/rtmo_moganet_t.py CHECKPOINT
source     mmpose::body_2d_keypoint/rtmo/coco/rtmo-m_16xb16-600e_coco-640x640.py
           https://arxiv.org/abs/2312.07526
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'rtmo_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[64, 128, 256]),
)
