# What every task shares: where MogaNet is registered, processes, logging, seed.
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = dict(runtime_info=dict(type='DeviceRuntimeInfoHook'))
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
