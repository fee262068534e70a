"""VideoPose3D: 2D keypoints of 27 frames to 3D, Human3.6M.

train      python tools/train.py configs/pose3d/video_pose_lift_27frm_h36m.py
test       python tools/test.py configs/pose3d/video_pose_lift_27frm_h36m.py CHECKPOINT
source     mmpose::body_3d_keypoint/video_pose_lift/h36m/
           video-pose-lift_tcn-27frm-supv_8xb128-160e_h36m.py
           https://arxiv.org/abs/1811.11742
published  none with keypoints of MogaNet; not run here. Photographs: see docs/pose3d.md
"""

_base_ = [
    'mmpose::body_3d_keypoint/video_pose_lift/h36m/video-pose-lift_tcn-27frm-supv_8xb128-160e_h36m.py',
    '../_base_/recipe.py',
]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = _base_.recipe_hooks
