"""DEKR, MogaNet-S, COCO keypoints, 512 x 512, 140 epochs.

train      python tools/train.py configs/heads/dekr_moganet_s.py
test       python tools/test.py configs/heads/dekr_moganet_s.py CHECKPOINT
source     mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py
           https://arxiv.org/abs/2104.02300
published  none with MogaNet; not run at scale, not run here on the whole data set

Learning rate 0.001 and Adam are the recipe's own. Poses are not rescored.
"""

_base_ = [
    'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
model = dict(
    backbone=dict(_base_.moganet_s, _delete_=True),
    head=dict(in_channels=1024, rescore_cfg=None),  # that network judges HRNet's poses
)
optim_wrapper = dict(constructor='BackboneDecayConstructor')
find_unused_parameters = False  # they are those of the rescoring network
train_cfg = dict(_delete_=True, type='ResumableEpochLoop', max_epochs=140, val_interval=10)
