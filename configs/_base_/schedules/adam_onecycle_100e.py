# adam_onecycle_200e in 100 epochs, at five times the rate: OpenSTL's for KITTI and Caltech.
_base_ = 'adam_onecycle_200e.py'
lr = 5e-3
epochs = 100
optim_wrapper = dict(optimizer=dict(lr=lr))
rise = epochs * 3 // 10
beta = dict(type='CosineAnnealingMomentum', convert_to_iter_based=True)
param_scheduler = [
    dict(type='OneCycleLR', eta_max=lr, total_steps=epochs, convert_to_iter_based=True),
    dict(eta_min=0.85, T_max=rise, begin=0, end=rise, **beta),
    dict(eta_min=0.95, T_max=epochs - rise, begin=rise, end=epochs, **beta),
]
train_cfg = dict(max_epochs=epochs)
