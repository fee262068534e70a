"""RTMDet-Ins-m, MogaNet-T, COCO masks, 300 epochs.

train      python tools/train.py configs/heads/rtmdet_ins_moganet_t.py
test       python tools/test.py configs/heads/rtmdet_ins_moganet_t.py CHECKPOINT
source     mmdet::rtmdet/rtmdet-ins_m_8xb32-300e_coco.py
           https://arxiv.org/abs/2212.07784
published  none with MogaNet; not run at scale, not run here on the whole data set
"""

_base_ = 'rtmdet_ins_moganet_s.py'
model = dict(
    backbone=dict(arch='t', init_cfg=dict(checkpoint='moganet://t_in1k_224')),
    neck=dict(in_channels=[64, 128, 256]),
)
