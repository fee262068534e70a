# Semantic FPN, 150 classes, as published for MogaNet
# (segmentation/configs/_base_/models of https://github.com/Westlake-AI/MogaNet).
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='DeviceSegDataPreProcessor',
        size=(512, 512),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    # The published configs asked for SyncBN here, and their code built plain BN. To have it:
    # norm_cfg=dict(type='SyncBN').
    # The authors' published logs say frozen_stages=1, their configs do not
    # (https://github.com/Westlake-AI/MogaNet/issues/30); nothing is frozen here.
    backbone=dict(
        type='MogaNet',
        arch='s',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='moganet://s_in1k_224'),
    ),
    neck=dict(type='FPN', in_channels=[64, 128, 320, 512], out_channels=256, num_outs=4),
    decode_head=dict(
        type='DeviceFPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
