"""MotionBERT: 2D keypoints of 243 frames to 3D, Human3.6M.

train      python tools/train.py configs/pose3d/motionbert_243frm_h36m.py
test       python tools/test.py configs/pose3d/motionbert_243frm_h36m.py CHECKPOINT
source     mmpose::body_3d_keypoint/motionbert/h36m/motionbert_dstformer-243frm_8xb32-240e_h36m.py
           https://arxiv.org/abs/2210.06551
published  none with keypoints of MogaNet; not run here. Photographs: see docs/pose3d.md
"""

_base_ = [
    'mmpose::body_3d_keypoint/motionbert/h36m/motionbert_dstformer-243frm_8xb32-240e_h36m.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
