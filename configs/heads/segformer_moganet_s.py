"""SegFormer's head, MogaNet-S, ADE20K, 160k iterations.

train      python tools/train.py configs/heads/segformer_moganet_s.py
test       python tools/test.py configs/heads/segformer_moganet_s.py CHECKPOINT
source     mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py
           https://arxiv.org/abs/2105.15203
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 6e-05 and AdamW are the recipe's own.
"""

_base_ = ['mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py', '../_base_/recipe.py']
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True),
    pretrained=None,
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
train_cfg = dict(type='ResumableIterLoop')
