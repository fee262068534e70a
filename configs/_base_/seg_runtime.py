_base_ = 'runtime.py'
default_scope = 'mmseg'
custom_imports = dict(
    imports=[
        'moganet_dense',
        'moganet_dense.toolboxes.mmseg',  # LabelMapDataset, SegmentationVisualizer
    ],
    allow_failed_imports=False,
)
env_cfg = dict(cudnn_benchmark=True)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=False,
        interval=16_000,
        save_best='mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
visualizer = dict(
    type='SegmentationVisualizer',
    name='visualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
