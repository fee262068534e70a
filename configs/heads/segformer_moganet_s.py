"""SegFormer's head, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/segformer_moganet_s.py
test       python tools/test.py configs/heads/segformer_moganet_s.py CHECKPOINT
source     mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py
           https://arxiv.org/abs/2105.15203
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 6e-05 and AdamW are the recipe's own.
"""

_base_ = ['mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py', '../_base_/run_hooks.py']
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
