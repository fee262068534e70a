# OpenMixup's RSB A3: as its 300 epochs, but 100 of LAMB at 6e-3 in batches of 2048.
_base_ = 'cls_openmixup_300e.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='DeviceLamb', lr=6e-3, weight_decay=0.02),
)
param_scheduler = [
    dict(_base_.warmup, start_factor=1e-5),
    dict(_base_.cosine, T_max=100, eta_min=1e-6, end=100),
]
train_cfg = dict(max_epochs=100)
