# What every task shares: the runner and its hooks, processes, logging, seed. A hook is left out
# by `default_hooks = dict(NAME=None)`.
_base_ = 'run_hooks.py'
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.run_hooks
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
