"""SimpleBaseline3D: 2D keypoints of an image to 3D, Human3.6M.

train      python tools/train.py configs/pose3d/image_pose_lift_h36m.py
test       python tools/test.py configs/pose3d/image_pose_lift_h36m.py CHECKPOINT
source     mmpose::body_3d_keypoint/image_pose_lift/h36m/image-pose-lift_tcn_8xb64-200e_h36m.py
           https://arxiv.org/abs/1705.03098
published  none with keypoints of MogaNet; not run here. Photographs: see docs/pose3d.md
"""

_base_ = [
    'mmpose::body_3d_keypoint/image_pose_lift/h36m/image-pose-lift_tcn_8xb64-200e_h36m.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
