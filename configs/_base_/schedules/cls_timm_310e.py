# Official recipe (timm 0.6.12): AdamW, 300 epochs of cosine counted from 0, under it 5 epochs
# of warm-up from 1e-5, and 10 more epochs at the lowest rate. Biases, norms and other tensors
# of one dimension are not decayed; layer scales and sigmas, which have four, are.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
# A schedule's last step is end - 1: the warm-up reaches the rate at epoch 5, the cosine its
# lowest at epoch 300.
warmup = dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=6)
cosine = dict(type='CosineAnnealingLR', T_max=300, eta_min=1e-5, by_epoch=True, begin=0, end=301)
param_scheduler = [warmup, cosine]
train_cfg = dict(type='ResumableEpochLoop', max_epochs=310, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# Statistics of BN are averaged over the GPUs after each epoch (timm did it to the average's too).
sync_buffers = dict(type='SyncBuffersHook')
custom_hooks = [sync_buffers]
