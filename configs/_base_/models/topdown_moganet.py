# Top-down heatmap estimator of 17 keypoints: three deconvolutions on stage 4, as published for
# MogaNet (pose_estimation/configs of https://github.com/Westlake-AI/MogaNet). The decoder is
# the codec of the data set, which the config sets.
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='DevicePoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    # The published configs asked for SyncBN here, and their code built plain BN. To have it:
    # norm_cfg=dict(type='SyncBN').
    backbone=dict(
        type='MogaNet',
        arch='s',
        out_indices=(3,),
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    head=dict(
        type='DeviceHeatmapHead',
        in_channels=512,
        out_channels=17,
        deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True),
)
