# OpenSTL's default: Adam without weight decay, one cycle over 200 epochs. As torch's OneCycleLR
# does, it also moves Adam's first beta: 0.95 to 0.85 while the rate rises, and back.
lr = 1e-3
epochs = 200
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=lr, betas=(0.95, 0.999)))
rise = epochs * 3 // 10
beta = dict(type='CosineAnnealingMomentum', convert_to_iter_based=True)
param_scheduler = [
    dict(type='OneCycleLR', eta_max=lr, total_steps=epochs, convert_to_iter_based=True),
    dict(eta_min=0.85, T_max=rise, begin=0, end=rise, **beta),
    dict(eta_min=0.95, T_max=epochs - rise, begin=rise, end=epochs, **beta),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
