"""Graphs of more heads against the toolboxes' own predictions; tiny models, small images."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from moganet_dense.export.formats import free_axes, run_onnx, write_onnx
from moganet_dense.export.graphs import AxisPoseGraph, SegmentationGraph
from moganet_dense.export.parity import TOLERANCE, largest_difference, low_threshold
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


@pytest.mark.parametrize('kind', HEADS)
def test_single_stage_heads_are_mmdets_and_are_written_as_onnx(kind, tmp_path):
    model = detector(kind)
    graph = SingleStageGraph(model).eval().requires_grad_(False)
    inputs = graph.examples(torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1)))
    with low_threshold(graph, inputs) as score:
        assert largest_difference(as_run(graph), graph, model, inputs) <= TOLERANCE
        if kind in ('FCOS', 'GFL'):  # of each way of decoding one, at another batch and size
            write_onnx(graph, inputs, False, {}, tmp_path / 'm.onnx')
            other = graph.examples(torch.randn(1, 3, 64, 160))
            run = run_onnx(tmp_path / 'm.onnx', score)
            assert largest_difference(run, graph, model, other) <= TOLERANCE


def test_binary_segmentors_are_mmsegs():
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    head = dict(
        type='FCNHead', in_channels=32, in_index=3, channels=8, num_convs=1, num_classes=2,
        out_channels=1, threshold=0.4, norm_cfg=dict(type='BN'), align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )  # fmt: skip
    cfg = dict(type='EncoderDecoder', backbone=dict(type='MogaNet', arch=TINY), decode_head=head,
               test_cfg=dict(mode='whole'))  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = shaken(MODELS.build(ConfigDict(cfg)))
    with torch.no_grad():  # so that there is some of both classes
        logits = model.decode_head(model.extract_feat(torch.randn(2, 3, 64, 96)))
        model.decode_head.conv_seg.bias -= logits.median() + 0.4
    graph = SegmentationGraph(model).eval().requires_grad_(False)
    images, size = graph.examples(torch.randn(2, 3, 64, 96))
    assert largest_difference(as_run(graph), graph, model, (images, size)) <= TOLERANCE
    with torch.no_grad():
        labels = graph(images, torch.tensor([64, 96]))
        wanted = torch.stack([s.pred_sem_seg.data[0] for s in model.predict(images)])
    assert (labels == wanted).all() and 0 < wanted.float().mean() < 1


@pytest.mark.parametrize('flip', [False, True])
def test_heads_that_classify_axes_are_mmposes(flip):
    from mmpose.registry import MODELS
    from mmpose.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    codec = dict(type='SimCCLabel', input_size=(64, 96), sigma=4.9, simcc_split_ratio=2.0,
                 normalize=False, use_dark=False)  # fmt: skip
    head = dict(
        type='RTMCCHead', in_channels=32, out_channels=4, input_size=(64, 96),
        in_featuremap_size=(2, 3), simcc_split_ratio=2.0, final_layer_kernel_size=3,
        gau_cfg=dict(hidden_dims=16, s=8, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
                     act_fn='SiLU', use_rel_bias=False, pos_enc=False),
        loss=dict(type='KLDiscretLoss'), decoder=codec,
    )  # fmt: skip
    cfg = dict(type='TopdownPoseEstimator', backbone=dict(type='MogaNet', arch=TINY,
               out_indices=(3,)), head=head, test_cfg=dict(flip_test=flip))  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = shaken(MODELS.build(ConfigDict(cfg)))
    graph = AxisPoseGraph(model, [0, 2, 1, 3]).eval().requires_grad_(False)
    inputs = graph.examples(torch.randn(2, 3, 96, 64))
    assert largest_difference(as_run(graph), graph, model, inputs) <= TOLERANCE


def test_openvino_reads_the_files_and_agrees(tmp_path):
    openvino = pytest.importorskip('openvino')
    model = detector('FCOS')
    graph = SingleStageGraph(model).eval().requires_grad_(False)
    inputs = graph.examples(torch.randn(1, 3, 64, 96))
    write_onnx(graph, inputs, False, {}, tmp_path / 'm.onnx')
    compiled = openvino.compile_model(openvino.Core().read_model(tmp_path / 'm.onnx'), 'CPU')
    found = [np.asarray(part) for part in compiled([part.numpy() for part in inputs]).values()]
    wanted = run_onnx(tmp_path / 'm.onnx')(*(part.numpy() for part in inputs))
    assert len(found[0]) == len(wanted[0])
    np.testing.assert_allclose(found[0], wanted[0], atol=2e-2)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-3)
    assert (found[2] == wanted[2]).all()


TENSORRT = set((Path(__file__).parent / 'tensorrt_operators.txt').read_text().split())
"""Operators that TensorRT 10 imports, up to opset 20 (docs/operators.md of onnx/onnx-tensorrt)."""


def operators(graph) -> set[str]:
    """All in a graph, and in the bodies of its loops."""
    found = set()
    for node in graph.node:
        found.add(node.op_type)
        for attribute in node.attribute:
            if attribute.HasField('g'):
                found |= operators(attribute.g)
    return found


@pytest.mark.parametrize('kind', ['FCOS', 'GFL'])
def test_operators_are_tensorrts(kind, tmp_path):
    graph = SingleStageGraph(detector(kind)).eval().requires_grad_(False)
    write_onnx(graph, graph.examples(torch.randn(1, 3, 64, 96)), False, {}, tmp_path / 'm.onnx')
    model = onnx.load(tmp_path / 'm.onnx')
    assert operators(model.graph) <= TENSORRT
    assert model.opset_import[0].version <= 20
    assert free_axes(graph, False)['images'][0] == 'batch'
