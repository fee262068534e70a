"""SimCC with depth (RTMW3D), MogaNet-T, drawn hands, 128 x 128, 20 epochs.

train      python tools/train.py configs/pose3d/simcc3d_moganet_t_hands.py
test       python tools/test.py configs/pose3d/simcc3d_moganet_t_hands.py CHECKPOINT
published  none: there is no official 3D result of MogaNet; not run here at this length
"""

_base_ = 'simcc3d_moganet_t_figures.py'
codec = dict(depth_range=0.2)
pipeline = _base_.pipeline
pipeline[1]['encoder']['depth_range'] = 0.2
train_dataloader = dict(dataset=dict(kind='hand', pipeline=pipeline))
val_dataloader = dict(dataset=dict(kind='hand', pipeline=pipeline))
test_dataloader = val_dataloader
model = dict(head=dict(out_channels=21, decoder=codec))
