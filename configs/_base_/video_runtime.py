_base_ = 'runtime.py'
default_scope = 'mmengine'
custom_imports = dict(imports=['moganet_dense', 'moganet_dense.video'])
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=2,  # the last, and one before it in case it is damaged
        save_best='video/mse',
        rule='less',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
