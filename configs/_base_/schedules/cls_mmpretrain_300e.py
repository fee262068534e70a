# Recipe of mmpretrain's pull request 1691, which calls it "for inference": AdamW, 300 epochs.
# The cosine begins at iteration 5, not epoch 5 (by_epoch is False), under the warm-up, and
# runs to the last iteration; kept as it is there.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={'.layer_scale': dict(decay_mult=0.0), '.scale': dict(decay_mult=0.0)},
    ),
)
warmup = dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=5, convert_to_iter_based=True)
cosine = dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=5)
param_scheduler = [warmup, cosine]
train_cfg = dict(type='ResumableEpochLoop', max_epochs=300, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
precise_bn = dict(type='PreciseBNHook', num_samples=8192, priority='ABOVE_NORMAL')
custom_hooks = [precise_bn]
