"""SimCC with depth (RTMW3D), MogaNet-S, H3WB, 133 keypoints, 256 x 192, 20 epochs.

train      python tools/train.py configs/pose3d/simcc3d_moganet_s_h3wb.py
test       python tools/test.py configs/pose3d/simcc3d_moganet_s_h3wb.py CHECKPOINT
source     https://arxiv.org/abs/2211.15692, https://arxiv.org/abs/2407.08634
published  none: there is no official 3D result of MogaNet; not run here
"""

_base_ = [
    '../_base_/models/simcc3d_moganet.py',
    '../_base_/datasets/whole_body_3d.py',
    '../_base_/schedules/adamw_cosine_20e.py',
    '../_base_/pose_runtime.py',
]
custom_imports = dict(imports=['moganet_dense', 'moganet_dense.pose3d'], allow_failed_imports=False)
model = dict(
    head=dict(
        out_channels=133,
        input_size=_base_.codec.input_size,
        in_featuremap_size=(6, 8),
        decoder=_base_.codec,
    )
)
default_hooks = dict(checkpoint=dict(interval=1, save_best='pose3d/MPJPE', rule='less'))
