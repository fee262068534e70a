# What a sample of 3D keypoints carries to the metric.
meta_keys = (
    'id',
    'img_id',
    'img_path',
    'img_shape',
    'input_size',
    'input_center',
    'input_scale',
    'flip_indices',
    'keypoints_2d',
    'keypoints_3d',
    'focal',
    'principal_pt',
    'root_depth',
)
