"""Tiny models of each kind that is exported, with their graphs; built once."""

import copy
from functools import cache

import numpy as np
import torch
from conftest import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from moganet_dense.export.base import Graph
from moganet_dense.export.dynamic_shapes import fix_bases
from moganet_dense.export.graphs import BackboneGraph, ClassificationGraph, SegmentationGraph
from moganet_dense.export.pose_graphs import AxisPoseGraph, PoseGraph
from moganet_dense.export.single_stage import SingleStageGraph

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
STRIDES = [8, 16, 32]
COMMON = dict(num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1)
ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8, scales_per_octave=1,
               strides=STRIDES)  # fmt: skip
CENTERNESS = dict(type='CrossEntropyLoss', use_sigmoid=True)
HEADS = dict(
    FCOS=dict(type='FCOSHead', strides=STRIDES, norm_on_bbox=True, centerness_on_reg=True,
              regress_ranges=((-1, 64), (64, 128), (128, 1e8)), norm_cfg=dict(type='BN'), **COMMON),
    ATSS=dict(type='ATSSHead', anchor_generator=ANCHORS, loss_centerness=CENTERNESS,
              norm_cfg=dict(type='BN'), **COMMON),
    GFL=dict(type='GFLHead', anchor_generator=ANCHORS, reg_max=4, norm_cfg=dict(type='BN'),
             loss_dfl=dict(type='DistributionFocalLoss'),
             loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True), **COMMON),
    RTMDet=dict(type='RTMDetSepBNHead', with_objectness=False, exp_on_reg=True, share_conv=True,
                anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=STRIDES),
                bbox_coder=dict(type='DistancePointBBoxCoder'), norm_cfg=dict(type='BN'),
                loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
                loss_bbox=dict(type='GIoULoss'), act_cfg=dict(type='ReLU'), **COMMON),
)  # fmt: skip
TEST_CFG = dict(nms_pre=50, min_bbox_size=0, score_thr=0.05, max_per_img=20,
                nms=dict(type='nms', iou_threshold=0.6))  # fmt: skip


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """With weights that make a difference, in eval mode."""
    torch.manual_seed(0)
    for name, value in model.named_parameters():
        if value.ndim > 1 and 'backbone' not in name:
            torch.nn.init.normal_(value, std=0.3 / value[0].numel() ** 0.5)
    return model.eval()


def detector(kind: str) -> torch.nn.Module:
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    neck = dict(type='FPN', in_channels=[16, 24, 32], out_channels=8, num_outs=3)
    cfg = dict(
        type=kind, backbone=dict(type='MogaNet', arch=TINY, out_indices=(1, 2, 3)), neck=neck,
        bbox_head=HEADS[kind], test_cfg=TEST_CFG,
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmdet'):
        return shaken(MODELS.build(ConfigDict(cfg)))


def as_run(graph):
    def run(*inputs):
        with torch.no_grad():
            found = graph(*map(torch.as_tensor, inputs))
        found = found if isinstance(found, tuple) else (found,)
        return [np.asarray(part) for part in found]

    return run


def segmentor(head: dict, **more) -> torch.nn.Module:
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    cfg = dict(type='EncoderDecoder', backbone=dict(type='MogaNet', arch=TINY), decode_head=head,
               test_cfg=dict(mode='whole'), **more)  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        return shaken(MODELS.build(ConfigDict(cfg)))


def binary() -> torch.nn.Module:
    """With one output, and some of both classes."""
    model = segmentor(dict(
        type='FCNHead', in_channels=32, in_index=3, channels=8, num_convs=1, num_classes=2,
        out_channels=1, threshold=0.4, norm_cfg=dict(type='BN'), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ))  # fmt: skip
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(torch.randn(2, 3, 64, 96)))
        model.decode_head.conv_seg.bias -= logits.median() + 0.4
    return model


def ham() -> torch.nn.Module:
    """SegNeXt's head, of which the bases are drawn once."""
    model = segmentor(dict(
        type='LightHamHead', in_channels=[16, 24, 32], in_index=[1, 2, 3], channels=16,
        ham_channels=16, ham_kwargs=dict(MD_R=4), num_classes=5, align_corners=False,
        norm_cfg=dict(type='GN', num_groups=4, requires_grad=True),
        loss_decode=dict(type='CrossEntropyLoss'),
    ))  # fmt: skip
    assert fix_bases(model)
    return model


def mask2former() -> torch.nn.Module:
    """The head of our config, narrow and shallow, which sees several classes."""
    config = Config.fromfile(ROOT / 'configs/heads/mask2former_semantic_moganet_t.py')
    head = copy.deepcopy(config.model.decode_head)
    head.update(in_channels=[8, 16, 24, 32], feat_channels=32, out_channels=32, num_classes=5,
                num_queries=10)  # fmt: skip
    head.loss_cls.class_weight = [1.0] * 5 + [0.1]
    narrow(head.pixel_decoder, head.transformer_decoder, head)
    model = segmentor(head)
    with torch.no_grad():
        model.decode_head.cls_embed.weight.normal_(std=2)
        model.decode_head.query_feat.weight.normal_()
        for layer in model.decode_head.mask_embed[::2]:
            layer.weight.normal_(std=0.5)
    return model


def narrow(pixels: dict, queries: dict, head: dict) -> None:
    """Mask2Former's two transformers with 32 channels, and with one layer and two."""
    pixels.positional_encoding.num_feats = head.positional_encoding.num_feats = 16
    pixels.encoder.num_layers, queries.num_layers = 1, 2
    encoder, decoder = pixels.encoder.layer_cfg, queries.layer_cfg
    for part in (encoder.self_attn_cfg, decoder.self_attn_cfg, decoder.cross_attn_cfg):
        part.embed_dims = 32
    for part in (encoder.ffn_cfg, decoder.ffn_cfg):
        part.update(embed_dims=32, feedforward_channels=32)


def estimator(head: dict, flip: bool) -> torch.nn.Module:
    from mmpose.registry import MODELS
    from mmpose.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    cfg = dict(
        type='TopdownPoseEstimator',
        backbone=dict(type='MogaNet', arch=TINY, out_indices=(3,)),
        head=head,
        test_cfg=dict(flip_test=flip, flip_mode='heatmap', shift_heatmap=False),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpose'):
        return shaken(MODELS.build(ConfigDict(cfg)))


CODECS = dict(
    heatmap=dict(type='MSRAHeatmap'),
    DARK=dict(type='MSRAHeatmap', unbiased=True, blur_kernel_size=11),
    UDP=dict(type='UDPHeatmap'),
)


def heatmaps(codec: str, flip: bool = True) -> torch.nn.Module:
    head = dict(type='HeatmapHead', in_channels=32, out_channels=4, deconv_out_channels=(8, 8),
                deconv_kernel_sizes=(4, 4), loss=dict(type='KeypointMSELoss'),
                decoder=dict(input_size=(64, 96), heatmap_size=(8, 12), sigma=2,
                             **CODECS[codec]))  # fmt: skip
    return estimator(head, flip)


def axes(flip: bool = True) -> torch.nn.Module:
    codec = dict(type='SimCCLabel', input_size=(64, 96), sigma=4.9, simcc_split_ratio=2.0,
                 normalize=False, use_dark=False)  # fmt: skip
    return estimator(dict(
        type='DeviceRTMCCHead' if flip else 'RTMCCHead',
        in_channels=32, out_channels=4, input_size=(64, 96),
        in_featuremap_size=(2, 3), simcc_split_ratio=2.0, final_layer_kernel_size=3,
        gau_cfg=dict(hidden_dims=16, s=8, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
                     act_fn='SiLU', use_rel_bias=False, pos_enc=False),
        loss=dict(type='KLDiscretLoss'), decoder=codec,
    ), flip)  # fmt: skip


def classifier() -> torch.nn.Module:
    from mmpretrain.registry import MODELS

    head = dict(type='LinearClsHead', num_classes=4, in_channels=32)
    cfg = dict(type='ImageClassifier', backbone=dict(type='MogaNet', arch=TINY, out_indices=(3,)),
               neck=dict(type='GlobalAveragePooling'), head=head)  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return shaken(MODELS.build(ConfigDict(cfg)))


MIRRORED = [0, 2, 1, 3]


@cache
def graph(kind: str) -> Graph:
    """The graph of a kind of model, in eval mode; ``graph(kind).model`` is the model."""
    torch.manual_seed(0)  # for the backbone, whose weights stay as they are drawn
    if kind in HEADS:
        made = SingleStageGraph(detector(kind))
    elif kind in CODECS:
        made = PoseGraph(heatmaps(kind), MIRRORED)
    elif kind == 'SimCC':
        made = AxisPoseGraph(axes(), MIRRORED)
    elif kind == 'classifier':
        made = ClassificationGraph(classifier())
    elif kind == 'backbone':
        made = BackboneGraph(graph('FCOS').model)
    else:
        made = SegmentationGraph(dict(binary=binary, Ham=ham, Mask2Former=mask2former)[kind]())
    return made.eval().requires_grad_(False)


TASKS = {
    **dict.fromkeys(HEADS, 'detection'),
    **dict.fromkeys((*CODECS, 'SimCC'), 'pose'),
    'classifier': 'classification',
    'backbone': 'backbone',
    **dict.fromkeys(('binary', 'Ham', 'Mask2Former'), 'segmentation'),
}
KINDS = tuple(TASKS)


def inputs_of(kind: str, count: int, height: int = 96, width: int = 64, seed: int = 1) -> tuple:
    """Images and what else the graph takes; poses have one size."""
    images = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return graph(kind).examples(images)
