# RTMPose's head with a third axis on stage 4, as RTMW3D (https://arxiv.org/abs/2407.08634) has it.
# The codec is that of the data set, which the config sets, as are the sizes of the head.
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='DevicePoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='MogaNet',
        arch='s',
        out_indices=(3,),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    head=dict(
        type='SimCC3DHead',
        in_channels=512,
        simcc_split_ratio=2.0,
        final_layer_kernel_size=7,
        gau_cfg=dict(
            hidden_dims=256,
            s=128,
            expansion_factor=2,
            dropout_rate=0.0,
            drop_path=0.0,
            act_fn='SiLU',
            use_rel_bias=False,
            pos_enc=False,
        ),
        loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10.0, label_softmax=True),
    ),
    test_cfg=dict(flip_test=False),
)
