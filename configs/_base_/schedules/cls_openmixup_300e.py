# OpenMixup's recipe: AdamW, 300 epochs of cosine by iteration, under it 5 epochs of linear
# warm-up from 1e-6 of the rate; BN statistics are measured again after each epoch. Biases,
# norms, layer scales and sigmas are not decayed; the stem's two norms, which have no "norm"
# in their names, are.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'norm': dict(decay_mult=0.0),
            'bias': dict(decay_mult=0.0),
            'scale': dict(decay_mult=0.0),
        }
    ),
)
warmup = dict(type='LinearLR', start_factor=1e-6, by_epoch=True, end=5, convert_to_iter_based=True)
cosine = dict(
    type='CosineAnnealingLR',
    T_max=300,
    eta_min=1e-5,
    by_epoch=True,
    end=300,
    convert_to_iter_based=True,
)
param_scheduler = [warmup, cosine]
train_cfg = dict(type='ResumableEpochLoop', max_epochs=300, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
precise_bn = dict(type='PreciseBNHook', num_samples=8192, priority='ABOVE_NORMAL')
custom_hooks = [precise_bn]
