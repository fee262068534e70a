"""Configs of the toolboxes that were tried with MogaNet."""

_POSE = 'mmpose::body_2d_keypoint'

QUICK = [
    'mmdet::atss/atss_r50_fpn_1x_coco.py',
    'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    f'{_POSE}/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    'mmpretrain::van/van-tiny_8xb128_in1k.py',
]

FITS = [
    *QUICK,
    'mmdet::gfl/gfl_r50_fpn_1x_coco.py',
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::htc/htc-without-semantic_r50_fpn_1x_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py',
    'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'mmdet::tood/tood_r50_fpn_1x_coco.py',
    'mmdet::vfnet/vfnet_r50_fpn_1x_coco.py',
    'mmdet::paa/paa_r50_fpn_1x_coco.py',
    'mmdet::dyhead/atss_r50_fpn_dyhead_1x_coco.py',
    'mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    'mmdet::queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmdet::solo/solo_r50_fpn_1x_coco.py',
    'mmdet::solov2/solov2_r50_fpn_1x_coco.py',
    'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    'mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    'mmdet::pvt/retinanet_pvt-t_fpn_1x_coco.py',
    'mmdet::rpn/rpn_r50_fpn_1x_coco.py',
    'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
    'mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py',
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    'mmseg::knet/knet-s3_r50-d8_upernet_8xb2-adamw-80k_ade20k-512x512.py',
    'mmseg::ocrnet/ocrnet_hr18_4xb4-80k_ade20k-512x512.py',
    'mmseg::hrnet/fcn_hr18_4xb4-80k_ade20k-512x512.py',
    'mmseg::danet/danet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::segmenter/segmenter_vit-b_mask_8xb1-160k_ade20k-512x512.py',
    f'{_POSE}/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py',
    f'{_POSE}/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py',
    f'{_POSE}/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py',
    f'{_POSE}/topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192.py',
    f'{_POSE}/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py',
    f'{_POSE}/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py',
    'mmpose::wholebody_2d_keypoint/rtmpose/coco-wholebody/'
    'rtmpose-m_8xb64-270e_coco-wholebody-256x192.py',
    'mmpose::hand_2d_keypoint/rtmpose/hand5/rtmpose-m_8xb256-210e_hand5-256x256.py',
    'mmpose::face_2d_keypoint/topdown_regression/wflw/td-reg_res50_8xb64-210e_wflw-256x256.py',
    'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py',
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    'mmpretrain::resnext/resnext50-32x4d_8xb32_in1k.py',
    'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
    'mmpretrain::efficientnet/efficientnet-b0_8xb32_in1k.py',
    'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
    'mmpretrain::csra/resnet101-csra_1xb16_voc07-448px.py',
    'mmpretrain::vision_transformer/vit-base-p16_32xb128-mae_in1k.py',
    'mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
]
"""Configs that are built, run forward and backward on random images."""

MISFITS = {
    'mmdet::ssd/ssd300_coco.py': '^$',  # an assertion without a message
    'mmdet::cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py': 'channels',
    'mmdet::faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py': 'to have 1024 channels',
    'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py': (
        'expected a model with a backbone'
    ),
    f'{_POSE}/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py': 'stride 4 alone',
    'mmpose::body_3d_keypoint/image_pose_lift/h36m/image-pose-lift_tcn_8xb64-200e_h36m.py': (
        'the backbone TCN cannot be built'
    ),
    'mmseg::setr/setr_vit-l_mla_8xb2-160k_ade20k-512x512.py': 'must match the size',
    'mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py': 'expected a model with a backbone',
}
"""Configs that do not fit, and a piece of what is said."""
