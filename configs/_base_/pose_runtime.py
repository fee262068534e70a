_base_ = 'runtime.py'
default_scope = 'mmpose'
custom_imports = dict(
    imports=['moganet_dense', 'moganet_dense.toolboxes.mmpose_transforms'],  # RandomShift029
    allow_failed_imports=False,
)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', interval=10, save_best='coco/AP', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='PoseVisualizationHook', enable=False),
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True, num_digits=6)
visualizer = dict(
    type='PoseLocalVisualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')]
)
