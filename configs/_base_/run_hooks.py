# Runner and hooks that every training here has; configs on bases of the toolboxes take them, too:
# default_hooks = _base_.run_hooks
runner_type = 'DenseRunner'
run_hooks = dict(
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
