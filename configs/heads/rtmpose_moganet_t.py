"""RTMPose-m (SimCC), MogaNet-T, COCO keypoints, 256 x 192, 420 epochs.

train      python tools/train.py configs/heads/rtmpose_moganet_t.py
test       python tools/test.py configs/heads/rtmpose_moganet_t.py CHECKPOINT
source     mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py
           https://arxiv.org/abs/2303.07399
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'rtmpose_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    head=dict(in_channels=256),
)
