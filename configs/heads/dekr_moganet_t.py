"""DEKR, MogaNet-T, COCO keypoints, 512 x 512, 140 epochs.

train      python tools/train.py configs/heads/dekr_moganet_t.py
test       python tools/test.py configs/heads/dekr_moganet_t.py CHECKPOINT
source     mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py
           https://arxiv.org/abs/2104.02300
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'dekr_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=480),
)
