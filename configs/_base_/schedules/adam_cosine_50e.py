# OpenSTL's schedule for TaxiBJ: Adam without weight decay, cosine over 50 epochs counted from 0,
# under it 5 epochs of warm-up from 1e-5.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
# A schedule's last step is end - 1: the warm-up reaches the rate at epoch 5.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=6),
    dict(type='CosineAnnealingLR', T_max=50, eta_min=1e-6, by_epoch=True, begin=0, end=51),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
