# 80 000 iterations of AdamW without warm-up; every parameter is decayed, norms and scales too.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=80_000),
]
train_cfg = dict(type='ResumableIterLoop', max_iters=80_000, val_interval=4_000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
