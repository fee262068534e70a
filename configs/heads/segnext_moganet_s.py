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
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True),
    pretrained=None,
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
