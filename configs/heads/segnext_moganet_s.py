"""SegNeXt's Ham head, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/segnext_moganet_s.py
test       python tools/test.py configs/heads/segnext_moganet_s.py CHECKPOINT
source     mmseg::segnext/segnext_mscan-s_1xb16-adamw-160k_ade20k-512x512.py
           https://arxiv.org/abs/2209.08575
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 6e-05 and AdamW are the recipe's own.
"""

_base_ = [
    'mmseg::segnext/segnext_mscan-s_1xb16-adamw-160k_ade20k-512x512.py',
    '../_base_/run_hooks.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = dict(
    backbone=dict(
        _delete_=True,
        type='MogaNet',
        arch='s',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    pretrained=None,
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
