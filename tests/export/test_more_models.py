"""Graphs of more heads against the toolboxes' own predictions, and the files in other forms and
other runtimes; tiny models, small images."""

import copy

import numpy as np
import onnx
import pytest
import torch
from mmseg.registry import MODELS
from tensorrt import OPSETS, unsupported
from tiny_graphs import (
    CODECS,
    HEADS,
    KINDS,
    MIRRORED,
    TASKS,
    as_run,
    axes,
    graph,
    heatmaps,
    inputs_of,
)  # fmt: skip

from moganet_dense.export.agreement import compared
from moganet_dense.export.formats import OPSET, free_axes, run_onnx, write_onnx
from moganet_dense.export.graphs import SegmentationGraph
from moganet_dense.export.half_graph import NETWORK, to_half
from moganet_dense.export.heatmap_peaks import Blur, dark_offsets, quarter_offsets, udp_offsets
from moganet_dense.export.parity import TOLERANCE, largest_difference, low_threshold
from moganet_dense.export.pose_graphs import AxisPoseGraph, PoseGraph
from moganet_dense.utils.errors import UserError

POSES = (*CODECS, 'SimCC')


class Files:
    """The ONNX file of each kind, written once."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __call__(self, kind: str):
        path = self.folder / f'{kind}.onnx'
        if not path.exists():
            write_onnx(graph(kind), inputs_of(kind, 2), kind in POSES, dict(kind=kind), path)
        return path


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp('files'))


@pytest.mark.parametrize('kind', KINDS)
def test_graphs_are_the_toolboxes_and_so_are_their_files_at_other_sizes(kind, files):
    inputs = inputs_of(kind, 2)
    model = graph(kind).model if kind != 'backbone' else graph('FCOS').model
    with low_threshold(graph(kind), inputs) as score:
        assert largest_difference(as_run(graph(kind)), graph(kind), model, inputs) <= TOLERANCE
        run = run_onnx(files(kind), score)
        for size in ((1, 96, 64), (3, 96, 64)) if kind in POSES else ((1, 64, 160), (3, 96, 96)):
            other = inputs_of(kind, *size)
            assert largest_difference(run, graph(kind), model, other) <= TOLERANCE
    assert free_axes(graph(kind), kind in POSES)['images'][0] == 'batch'


def test_labels_are_those_of_mmseg_exactly():
    """At the size of the images, where several classes are seen."""
    for kind in ('binary', 'Ham', 'Mask2Former'):
        images, _ = inputs_of(kind, 2)
        with torch.no_grad():
            labels = graph(kind)(images, torch.tensor([96, 64]))
            wanted = torch.stack(
                [s.pred_sem_seg.data[0] for s in graph(kind).model.predict(images)]
            )
        assert len(wanted.unique()) > 1, kind
        assert (labels == wanted).all(), kind


def test_images_are_padded_as_mmsegs_preprocessor_pads_them(tmp_path):
    """SegNeXt's config pads to multiples of 32 when testing; logits are cut again."""
    from mmseg.structures import SegDataSample

    model = copy.deepcopy(graph('Ham').model)
    cfg = dict(size_divisor=32)
    model.data_preprocessor = MODELS.build(
        dict(type='SegDataPreProcessor', mean=[0.0] * 3, std=[1.0] * 3, pad_val=7, test_cfg=cfg)
    )
    padding = SegmentationGraph(model).eval().requires_grad_(False)
    write_onnx(padding, padding.examples(torch.randn(1, 3, 64, 64)), False, {}, tmp_path / 'm.onnx')
    for height, width in ((70, 90), (64, 96), (33, 65)):
        image, size = torch.randn(1, 3, height, width), (height, width)
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        data = model.data_preprocessor(dict(inputs=[image[0]], data_samples=[sample]), False)
        assert [n % 32 for n in data['inputs'].shape[2:]] == [0, 0]
        with torch.no_grad():
            (wanted,) = model.predict(**data)
        labels = run_onnx(tmp_path / 'm.onnx')(image.numpy(), np.array(size))[0][0]
        assert (labels == wanted.pred_sem_seg.data[0].numpy()).mean() > 0.999


def test_bases_of_ham_are_drawn_once():
    """Two predictions of mmseg differ, two of the file do not."""
    images, size = inputs_of('Ham', 1)
    model = copy.deepcopy(graph('Ham').model)
    model.decode_head.hamburger.ham.rand_init = True
    with torch.no_grad():
        one, other = (model.predict(images)[0].seg_logits.data for _ in range(2))
        first, second = (graph('Ham')(images, size) for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(first, second)


@pytest.mark.parametrize('kind', [*CODECS, 'SimCC'])
def test_poses_without_the_flip_test(kind):
    model = heatmaps(kind, flip=False) if kind in CODECS else axes(flip=False)
    made = (PoseGraph if kind in CODECS else AxisPoseGraph)(model, MIRRORED)
    inputs = made.eval().requires_grad_(False).examples(torch.randn(2, 3, 96, 64))
    assert largest_difference(as_run(made), made, model, inputs) <= TOLERANCE


@pytest.mark.parametrize('noise', [0, 0.02])
@pytest.mark.parametrize('codec', CODECS)
def test_peaks_are_moved_as_mmposes_codecs_move_them(codec, noise):
    """Gaussians at fractions of pixels, also across the border."""
    from mmpose.registry import KEYPOINT_CODECS

    decoder = KEYPOINT_CODECS.build(
        dict(input_size=(64, 96), heatmap_size=(16, 24), sigma=2, **CODECS[codec])
    )
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :16]
    centres = rng.uniform((-1, -1), (17, 25), (20, 4, 2))[..., None, None]
    maps = np.exp(-((x - centres[:, :, 0]) ** 2 + (y - centres[:, :, 1]) ** 2) / 8)
    maps = (maps + rng.normal(0, noise, maps.shape)).astype(np.float32)
    wanted = np.concatenate([decoder.decode(own)[0] for own in maps])
    tensor = torch.from_numpy(maps)
    place = tensor.flatten(2).argmax(2)
    peaks = torch.stack([place % 16, place // 16], 2)
    if codec == 'heatmap':
        offsets, scale = quarter_offsets(tensor, peaks), torch.tensor(4.0)
    else:
        refine = udp_offsets if codec == 'UDP' else dark_offsets
        offsets = refine(Blur(decoder.blur_kernel_size)(tensor), peaks)
        scale = torch.tensor([64 / 15, 96 / 23]) if codec == 'UDP' else torch.tensor(4.0)
    found = ((peaks + offsets) * scale).numpy()
    assert np.abs(found - wanted).max() < 1e-2
    assert np.median(np.abs(found - wanted)) < 1e-5


@pytest.mark.parametrize('kind', KINDS)
def test_opset_and_operators_are_tensorrts(kind, files):
    model = onnx.load(files(kind))
    assert OPSETS[0] <= OPSET <= OPSETS[1]
    assert [each.version for each in model.opset_import if not each.domain] == [OPSET]
    assert unsupported(model) == []


def test_what_tensorrt_lacks_is_seen():
    from onnx import TensorProto, helper

    sizes = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3, 8, 8])
    made = [
        helper.make_node('Unique', ['x'], ['y'], 'a'),
        helper.make_node('Resize', ['x', '', '', 'y'], ['z'], 'b', mode='cubic'),
        helper.make_node('ScatterND', ['x', 'y', 'z'], ['w'], 'c', reduction='add'),
    ]
    found = unsupported(helper.make_model(helper.make_graph(made, 'g', [sizes], [sizes])))
    assert found == ['a: Unique', 'b: Resize with mode=cubic', 'c: ScatterND with reduction=add']


@pytest.mark.parametrize('kind', KINDS)
def test_openvino_reads_the_files_and_agrees(kind, files):
    openvino = pytest.importorskip('openvino')
    inputs = [part.numpy() for part in inputs_of(kind, 2)]
    exact = dict(INFERENCE_PRECISION_HINT='f32')  # else it computes in bf16, where the CPU can
    compiled = openvino.compile_model(openvino.Core().read_model(files(kind)), 'CPU', exact)
    found = [np.asarray(part) for part in compiled(inputs).values()]
    wanted = run_onnx(files(kind))(*inputs)
    assert [part.shape for part in found] == [part.shape for part in wanted]
    if kind in HEADS:
        np.testing.assert_allclose(found[0], wanted[0], atol=2e-2)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-3)
        assert (found[2] == wanted[2]).all()
    elif wanted[0].dtype.kind == 'i':
        assert (found[0] == wanted[0]).mean() > 0.999
    else:
        for own, other in zip(found, wanted, strict=True):
            assert np.abs(own - other).max() <= 1e-2 * np.abs(other).max()


HALVED = ('backbone', 'classifier', 'FCOS', 'binary', 'Ham', 'Mask2Former', 'heatmap', 'SimCC')
"""One of each task: dense heads, poses and segmentors differ by operators that stay float32."""


@pytest.mark.parametrize(
    'kind', [pytest.param(k, marks=() if k in HALVED else pytest.mark.long) for k in KINDS]
)
def test_float16_files_load_and_agree(kind, files, tmp_path):
    """With inputs and outputs of float32, and half of the weights' bytes."""
    half = tmp_path / 'half.onnx'
    half.write_bytes(files(kind).read_bytes())
    to_half(half)
    single, other = onnx.load(files(kind)), onnx.load(half)
    for ends in ('input', 'output'):
        assert [(v.name, v.type) for v in getattr(single.graph, ends)] == [
            (v.name, v.type) for v in getattr(other.graph, ends)
        ]
    assert other.metadata_props == single.metadata_props
    assert {value.dtype.name for value in weights_of(single)} == {'float32'}
    assert {value.dtype.name for value in weights_of(other)} == {'float16'}
    assert unsupported(other) == []
    inputs = [inputs_of(kind, *size) for size in ((2,), (1, 96, 64, 2))]
    with low_threshold(graph(kind), inputs[0]) as score:
        runs = run_onnx(files(kind), score), run_onnx(half, score)
        pairs = [tuple(run(*map(np.asarray, each)) for run in runs) for each in inputs]
    for wanted, found in pairs:
        if kind in HEADS:
            assert len(found[0]) == pytest.approx(len(wanted[0]), rel=0.1)
        elif wanted[0].dtype.kind == 'i':
            assert (found[0] == wanted[0]).mean() > 0.98
        elif kind not in POSES:
            for own, own_wanted in zip(found, wanted, strict=True):
                assert np.abs(own - own_wanted).max() <= 1e-2 * np.abs(own_wanted).max()
        else:
            assert np.median(np.abs(found[0] - wanted[0])) < 0.1
    text = compared(TASKS[kind], pairs)
    assert any(word in text for word in ('have a match', 'same label', 'differ by', 'a pixel'))


def weights_of(model) -> list[np.ndarray]:
    """Kernels and matrices of the network."""
    kinds = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
    nodes = (n for n in model.graph.node if n.op_type in kinds and n.name.startswith(NETWORK))
    names = {node.input[1] for node in nodes}
    return [
        onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name in names
    ]


def test_agreement_is_in_numbers():
    box = np.array([[0, 0, 10, 10], [20, 20, 40, 40.0]])
    score, label, image = np.array([0.9, 0.5]), np.array([1, 1]), np.array([0, 0])
    moved = box + [[0, 0, 0, 0.5], [0, 0, 30, 0]]
    pairs = [([box, score, label, image], [moved, score - 0.1, label, image])]
    text = compared('detection', pairs)
    assert text.startswith('1 of 2 boxes have a match') and text.endswith('at most 1.0e-01')
    labels = [([np.array([[0, 1, 2, 3]])], [np.array([[0, 1, 2, 4]])])]
    assert compared('segmentation', labels) == '75.000% of the pixels have the same label'
    with pytest.raises(UserError, match='not finite: the network leaves the range of float16'):
        compared('backbone', [([np.ones(3)], [np.array([1, np.inf, 1])])])


def test_flat_heatmaps_do_not_fail_the_check_and_wrong_ones_do(monkeypatch):
    """Rounding decides where DARK puts a keypoint of a flat heatmap; a peak it does not move."""
    kind = 'UDP'
    inputs = inputs_of(kind, 2)
    run = as_run(graph(kind))
    keypoints, scores = run(*inputs)
    assert largest_difference(run, graph(kind), graph(kind).model, inputs) <= TOLERANCE
    wrong = keypoints + 0.5
    found = largest_difference(lambda *_: [wrong, scores], graph(kind), graph(kind).model, inputs)
    assert found > TOLERANCE


def test_heads_that_are_not_supported_are_one_line():
    decoder = dict(CODECS['UDP'], heatmap_type='combined', radius_factor=0.07)
    model = heatmaps('UDP', flip=False)
    model.head.decoder.heatmap_type = decoder['heatmap_type']
    with pytest.raises(UserError, match="heatmap_type='gaussian', found 'combined'"):
        PoseGraph(model, MIRRORED)
    model = copy.deepcopy(graph('Ham').model)
    model.test_cfg['mode'] = 'slide'
    with pytest.raises(UserError, match="mode='whole'"):
        SegmentationGraph(model)
