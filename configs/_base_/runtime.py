# What every task shares: the runner and its hooks, processes, logging, seed. A hook is left out
# by `default_hooks = dict(NAME=None)`.
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
runner_type = 'DenseRunner'
default_hooks = dict(
    runtime_info=dict(type='DeviceRuntimeInfoHook'),
    strict_loading=dict(type='StrictLoadingHook'),
    resume_check=dict(type='ResumeCheckHook'),
    resume=dict(type='ResumeHook'),
    missed_validation=dict(type='MissedValidationHook'),
    nonfinite_loss=dict(type='NonfiniteLossHook'),
    plain_checkpoint=dict(type='PlainCheckpointHook'),
    average_buffers=dict(type='AverageBuffersHook'),
    record=dict(type='RecordHook'),
    signals=dict(type='SignalHook'),
    screen=dict(type='ScreenHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
