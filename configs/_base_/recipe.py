# For configs on a recipe of a toolbox, as in configs/heads. A second base must not set a key that
# the recipe has, so hooks and backbone are variables: `default_hooks = _base_.recipe_hooks`.
_base_ = 'run_hooks.py'
recipe_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
moganet_s = dict(
    type='MogaNet',
    arch='s',
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.1,
    init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
)
imagenet_rgb = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
