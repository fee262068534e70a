"""Exported files against the toolboxes' own predictions on real and drawn images."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from narrow import NARROW
from randomised import randomised
from torch import nn

from moganet_dense import export as api
from moganet_dense import load_model
from moganet_dense.cli import main
from moganet_dense.engine.job import Job
from moganet_dense.export import box_ops, dynamic_shapes, graphs, metadata, parity
from moganet_dense.export.formats import NOTES, TORCH_EXPORT, at_threshold
from moganet_dense.inference.metainfo import Names
from moganet_dense.runtime import load
from moganet_dense.toolboxes.build import build
from moganet_dense.utils.errors import UserError

NEW_TORCH = tuple(int(n) for n in torch.__version__.split('.')[:2]) >= TORCH_EXPORT
# configs, and what is changed in them to make images small, and random weights sure enough
DET_PIPELINE = (
    'pipeline = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=(224, 160), '
    'keep_ratio=True), dict(type="PackDetInputs")]\n'
    'test_dataloader = dict(dataset=dict(pipeline=pipeline))\n'
)
SEG_PIPELINE = (
    'pipeline = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=(224, 160), '
    'keep_ratio=True), dict(type="ResizeToMultiple", size_divisor=32), dict(type="PackSegInputs")]'
    '\ntest_dataloader = dict(dataset=dict(pipeline=pipeline))\n'
)
RETINANET = 'det/retinanet_moganet_xt.py'
MASKS = 'det/mask_rcnn_moganet_xt.py'
CASCADE = 'det/cascade_mask_rcnn_moganet_s_giou_ms_3x.py'
SEM_FPN, UPERNET = 'seg/sem_fpn_moganet_xt.py', 'seg/upernet_moganet_xt.py'
POSE = 'pose/topdown_moganet_xt_256x192.py'
CLASSES = 'cls/moganet_xt.py'
WIDTHS = list(NARROW['embed_dims'])
THIN = f'backbone=dict(arch=dict(_delete_=True, **{NARROW}))'
CASCADED = (
    'heads = [dict(each, in_channels=64, conv_out_channels=64, fc_out_channels=128) '
    'for each in _base_.model.roi_head.bbox_head]\n'
)
BOXES = 'dict(in_channels=64, fc_out_channels=128)'


def two_stages(heads: str) -> str:
    """Narrow, with few regions and boxes."""
    return (
        'test_cfg=dict(rpn=dict(max_per_img=50), rcnn=dict(score_thr=0.0135, max_per_img=30)), '
        f'rpn_head=dict(in_channels=64, feat_channels=64), roi_head=dict(bbox_head={heads}, '
        'bbox_roi_extractor=dict(out_channels=64), mask_roi_extractor=dict(out_channels=64), '
        'mask_head=dict(num_convs=1, in_channels=64, conv_out_channels=64)), '
        f'neck=dict(in_channels={WIDTHS}, out_channels=64)'
    )


CONFIGS = {
    RETINANET: f'{DET_PIPELINE}model = dict({THIN})\n',
    MASKS: f'{DET_PIPELINE}model = dict({THIN}, {two_stages(BOXES)})\n',
    CASCADE: f'{DET_PIPELINE}{CASCADED}model = dict({THIN}, {two_stages("heads")})\n',
    SEM_FPN: f'{SEG_PIPELINE}model = dict({THIN}, neck=dict(out_channels=64), '
    'decode_head=dict(in_channels=[64] * 4, channels=32))\n',
    UPERNET: f'{SEG_PIPELINE}model = dict({THIN}, decode_head=dict(channels=64))\n',
    POSE: f'model = dict({THIN}, head=dict(deconv_out_channels=(32, 32, 32)))\n',
    CLASSES: '',  # arch xt as a whole
}


class Written:
    """A config, random weights and the exported file of each model, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, {}

    def __call__(self, name: str) -> tuple[str, str, Path]:
        if name not in self.done:
            folder = self.folder / Path(name).stem
            folder.mkdir()
            config, weights = folder / 'small.py', folder / 'random.pth'
            config.write_text(f'_base_ = {str(ROOT / "configs" / name)!r}\n' + CONFIGS[name])
            torch.manual_seed(0)
            model = randomised(build(Config.fromfile(config)))
            torch.save(dict(state_dict=model.state_dict()), weights)
            out, error = api.export(Job(str(config)), str(weights), str(folder / 'model.onnx'))
            assert error < 1e-4
            assert sorted(p.name for p in folder.iterdir()) == [
                'model.onnx', 'random.pth', 'small.py',
            ]  # fmt: skip
            self.done[name] = str(config), str(weights), out
        return self.done[name]


@pytest.fixture(scope='module')
def written(tmp_path_factory) -> Written:
    return Written(tmp_path_factory.mktemp('written'))


def notes_in(path: Path) -> dict:
    props = onnx.load(path, load_external_data=False).metadata_props
    return {prop.key: json.loads(prop.value) for prop in props}


def axes_of(values) -> dict[str, list]:
    """Sizes of inputs or outputs, names of those that are free."""
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in values
    }


@pytest.mark.slow
@pytest.mark.parametrize('name', [RETINANET, MASKS, CASCADE])
def test_detectors_find_what_the_toolbox_finds(written, photograph, name):
    config, weights, file = written(name)
    wanted, found = load_model(config, weights)(photograph), load(file)(photograph)
    most = 100 if name == RETINANET else 30
    assert len(found) == len(wanted) == most
    assert found.names == wanted.names and found.scores.dtype == wanted.scores.dtype
    outputs = axes_of(onnx.load(file).graph.output)
    assert outputs.get('masks', ['found', 28, 28]) == ['found', 28, 28]
    assert ('masks' in outputs) == (wanted.masks is not None)
    near = np.abs(found.boxes[:, None] - wanted.boxes[None]).max(2)
    near[found.labels[:, None] != wanted.labels[None]] = np.inf
    partner = near.argmin(1)
    assert sorted(partner) == list(range(most))
    assert near.min(1).max() < 0.1  # pixels of a image of 1000
    assert np.abs(found.scores - wanted.scores[partner]).max() < 1e-4
    if wanted.masks is not None:
        assert found.masks.shape == wanted.masks.shape and wanted.masks.any()
        assert (found.masks != wanted.masks[partner]).mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize('name', [SEM_FPN, UPERNET])
def test_segmentors_label_what_the_toolbox_labels(written, photograph, name):
    config, weights, file = written(name)
    wanted, found = load_model(config, weights)(photograph), load(file)(photograph)
    assert found.labels.dtype == wanted.labels.dtype
    assert (found.labels != wanted.labels).mean() < 1e-3  # ties
    assert len(np.unique(wanted.labels)) > 1
    assert (found.palette == wanted.palette).all() and found.names == wanted.names


@pytest.mark.slow
@pytest.mark.parametrize('flip_test', [True, False])
def test_keypoints_lie_where_the_toolbox_puts_them(written, photograph, tmp_path, flip_test):
    config, weights, file = written(POSE)
    options = () if flip_test else ('model.test_cfg.flip_test=False',)
    if not flip_test:
        job = Job(config, cfg_options=options)
        file = api.export(job, weights, str(tmp_path / 'once.onnx'))[0]
    boxes = np.array([[10, 20, 110, 300], [200, 100, 400, 150], [5.5, 3, 77, 70]])
    cfg = Config.fromfile(config)
    cfg.model.test_cfg.flip_test = flip_test
    wanted = load_model(cfg, weights)(photograph, boxes=boxes, batch_size=3)
    found = load(file)(photograph, boxes=boxes, batch_size=2)
    assert np.abs(found.keypoints - wanted.keypoints).max() < 0.01
    assert np.abs(found.scores - wanted.scores).max() < 1e-4
    assert found.skeleton == wanted.skeleton and found.names == wanted.names
    outputs = axes_of(onnx.load(file).graph.output)
    assert outputs == dict(keypoints=['batch', 17, 2], scores=['batch', 17])
    assert notes_in(file)['flip_test'] is flip_test
    assert len(load(file)(photograph, boxes=np.zeros((0, 4)))) == 0


@pytest.mark.slow
def test_classifiers_are_as_sure_as_the_toolbox(written, photograph):
    config, weights, file = written(CLASSES)
    model = load(file)
    for image in (photograph, np.full((30, 7, 3), 90, np.uint8)):
        wanted = load_model(config, weights)(image, order='bgr')
        found = model(image, order='bgr')
        assert np.abs(found.scores - wanted.scores).max() < 1e-4 * wanted.scores.max()
        assert found.names == wanted.names and len(found.names) == 1000
        assert found.name == found.names[found.scores.argmax()]
    assert notes_in(file)['resize'] == dict(short=248, middle=[224, 224])
    assert notes_in(file)['order'] == 'rgb' and model.task == 'classification'
    (scores,) = model.session.run(None, dict(images=np.zeros((3, 3, 96, 64), np.float32)))
    assert scores.shape == (3, 1000) and np.allclose(scores.sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_the_file_tells_what_it_is(written):
    *_, file = written(RETINANET)
    model = onnx.load(file)
    assert axes_of(model.graph.input) == dict(
        images=['batch', 3, 'height', 'width'], sizes=['batch', 2]
    )
    assert axes_of(model.graph.output) == dict(
        boxes=['found', 4], scores=['found'], labels=['found'], image=['found']
    )
    notes = notes_in(file)
    assert notes['classes'][:2] == ['person', 'bicycle'] and len(notes['classes']) == 80
    assert notes['mean'] == [123.675, 116.28, 103.53] and notes['order'] == 'rgb'
    assert notes['resize'] == dict(scale=[224, 160], keep_ratio=True)
    assert notes['pad'] == dict(divisor=32, value=0) and notes['task'] == 'detection'
    (held,) = (i for i in model.graph.initializer if i.name == 'threshold')
    assert onnx.numpy_helper.to_array(held) == np.float32(0.05)


@pytest.mark.slow
def test_an_image_without_objects_has_none(written, photograph):
    """Also where no box reaches the heads of the second stage."""
    for name in (RETINANET, MASKS, CASCADE):
        *_, file = written(name)
        empty = file.with_name('empty.onnx')
        empty.write_bytes(at_threshold(file, 0.9999999))
        found = load(empty)(photograph)
        empty.unlink()
        assert len(found) == 0 and found.boxes.shape == (0, 4)
        assert found.masks is None or found.masks.shape[0] == 0


@pytest.mark.slow
def test_int8_files_run_and_are_smaller(written, photograph, tmp_path, capfd):
    config, weights, file = written(POSE)
    wanted, photos = load(file)(photograph), tmp_path / 'photos'
    photos.mkdir()
    shutil.copy(photograph, photos)
    for kind, more in [('dynamic', []), ('static', ['--calibrate', str(photos)])]:
        out = tmp_path / f'{kind}.onnx'
        assert main(['export', config, weights, str(out), '--int8', kind, *more]) == 0
        assert out.stat().st_size < 0.7 * file.stat().st_size  # its deconvolutions stay
        assert notes_in(out)['int8'] == kind
        found = load(out)(photograph)
        assert 0 < np.abs(found.scores - wanted.scores).max() < 0.5 * wanted.scores.max()


@pytest.mark.slow
def test_torch_export_holds_model_and_notes(written, tmp_path):
    config, weights, _ = written(POSE)
    out = tmp_path / 'pose.pt2'
    if not NEW_TORCH:
        with pytest.raises(UserError, match=r'needs PyTorch 2\.6 or later, found 2\..*onedl'):
            api.export(Job(config), weights, str(out), form='torch-export')
        return
    api.export(Job(config), weights, str(out), form='torch-export')
    extra = {NOTES: ''}
    module = torch.export.load(out, extra_files=extra).module()
    assert json.loads(extra[NOTES])['classes'][0] == 'nose'
    keypoints, scores = module(torch.zeros(3, 3, 256, 192))  # the example had two
    assert keypoints.shape == (3, 17, 2) and scores.shape == (3, 17)


@pytest.mark.slow
def test_a_backbone_alone(tmp_path, photograph):
    config = tmp_path / 'small.py'
    config.write_text(f'_base_ = {str(ROOT / "configs" / SEM_FPN)!r}\n{CONFIGS[SEM_FPN]}')
    torch.save(randomised(build(Config.fromfile(config))).state_dict(), tmp_path / 'w.pth')
    out = tmp_path / 'backbone.onnx'
    _, error = api.export(Job(str(config)), str(tmp_path / 'w.pth'), str(out), backbone=True)
    assert error < 1e-4
    model = load_model(str(config), tmp_path / 'w.pth')
    found, wanted = load(out)(photograph), model.features(photograph)
    assert found.strides == wanted.strides and found.channels == wanted.channels
    assert found.input_size == wanted.input_size
    for mine, theirs in zip(found.maps, wanted.maps, strict=True):
        assert np.abs(mine - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.slow
def test_float16_by_command(written, photograph, tmp_path, monkeypatch):
    """Half of the size, the same keypoints, and the numbers on the screen."""
    config, weights, single = written(POSE)
    half, lines = tmp_path / 'half.onnx', []
    monkeypatch.setattr(api, 'print_log', lambda line, *_: lines.append(line))
    assert main(['export', config, weights, '--out', str(half), '--fp16']) == 0
    assert 'before it was converted to float16 it differed from PyTorch by' in lines[0]
    assert lines[1].startswith('float16 compared with float32, on noise: ')
    assert 'lie within a pixel' in lines[1]
    assert half.stat().st_size < 0.6 * single.stat().st_size
    assert notes_in(half) == dict(notes_in(single), fp16=True)
    keypoints = [load(path)(photograph).keypoints for path in (single, half)]
    assert np.abs(keypoints[0] - keypoints[1]).max() < 0.02 * max(keypoints[0].max(), 1)


TOO_OLD = '--format torch-export needs PyTorch 2.6 or later'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--shape', '100', '160'], '--shape: expected height and width, multiples of 32, found'),
        (['--shape', '1000000000', '64'], '--shape: expected at most 32768 pixels on a side'),
        (['--shape', '512', '512'], 'cuts images or people to 256 192 (height, width), found'),
        (['--int8', 'static'], '--int8 static needs --calibrate DIR'),
        (['--calibrate', '.'], '--int8 static needs --calibrate DIR'),
        (['--format', 'torch-export', '--int8', 'dynamic'], 'error: '),
        (['--fp16', '--int8', 'dynamic'], '--fp16 is for --format onnx, without --int8'),
        (['--fp16', '--format', 'torch-export'], '--fp16 is for --format onnx, without --int8'),
    ],
)
def test_mistakes_are_one_line(tmp_path, capfd, arguments, message):
    config = str(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py')
    torch.save(build(Config.fromfile(config)).state_dict(), tmp_path / 'w.pth')
    out = tmp_path / 'new' / 'model.onnx'
    assert main(['export', config, str(tmp_path / 'w.pth'), str(out), *arguments]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error')]
    if 'torch-export' in arguments and TOO_OLD in errors[0]:
        message = TOO_OLD
    assert len(errors) == 1 and message in errors[0]
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ('form', 'name', 'ending'),
    [('onnx', 'a.pt', '.onnx'), ('onnx', 'a.PT2', '.onnx'), ('onnx', 'a.py', '.onnx'),
     ('torch-export', 'a.onnx', '.pt2'), ('torch-export', 'a.pth', '.pt2')],
)  # fmt: skip
def test_a_name_of_another_kind_of_file_is_refused(tmp_path, capfd, form, name, ending):
    command = ['export', 'none.py', 'none.pth', '--out', str(tmp_path / name), '--format', form]
    assert main(command) == 1
    said = capfd.readouterr().err
    expected = TOO_OLD if TOO_OLD in said else f'expected a name that ends in {ending} for'
    assert expected in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize('command', ['export', 'deploy'])
def test_no_file_takes_the_place_of_what_it_is_made_from(tmp_path, capfd, command):
    config, weights = tmp_path / 'c.py', tmp_path / 'w'
    config.write_text('a config')
    weights.write_text('weights')
    (tmp_path / 'link').symlink_to(weights)
    for out in (config, weights, tmp_path / 'link'):
        assert main([command, str(config), str(weights), '--out', str(out)]) == 1
        assert 'choose another name for --out' in capfd.readouterr().err
    assert config.read_text() == 'a config' and weights.read_text() == 'weights'


@pytest.mark.parametrize('command', ['export', 'deploy'])
def test_where_nothing_can_be_written_is_reported_first(tmp_path, capfd, command):
    (tmp_path / 'file').write_text('x')
    for out in (tmp_path, tmp_path / 'file' / 'model.onnx'):
        assert main([command, 'no config', 'none.pth', str(out)]) == 1
        assert f'error: {out}' in capfd.readouterr().err


def test_what_is_not_written_is_named():
    names = Names((), np.zeros((0, 3)), meta=dict(flip_indices=[0]))
    other = type('CornerNet', (nn.Module,), {})()
    with pytest.raises(UserError, match='export supports EncoderDecoder, .* found CornerNet'):
        graphs.graph_of(other, names)
    cfg = Config.fromfile(ROOT / 'configs' / RETINANET)
    cfg.model.test_cfg.nms.type = 'soft_nms'
    with pytest.raises(UserError, match='export supports nms=.* found .*soft_nms'):
        graphs.graph_of(build(cfg), names)
    cfg = Config.fromfile(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py')
    cfg.model.test_cfg.output_keypoint_indices = [0]
    with pytest.raises(UserError, match='all keypoints of the head'):
        graphs.graph_of(build(cfg), names)
    cfg = Config.fromfile(ROOT / 'configs/cls/moganet_xt.py')
    cfg.test_dataloader.dataset.pipeline[1].backend = 'cv2'
    with pytest.raises(UserError, match=r"this step of the test pipeline: .*backend='cv2'"):
        metadata.cut_size(cfg)


@pytest.mark.slow
def test_nothing_is_written_if_the_file_differs(tmp_path, monkeypatch):
    config = str(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py')
    torch.save(build(Config.fromfile(config)).state_dict(), tmp_path / 'w.pth')
    original = api.graph_of

    def broken(model: nn.Module, names: Names | None):
        nn.init.ones_(model.head.final_layer.bias)
        return original(model, names)

    monkeypatch.setattr(api, 'graph_of', broken)
    with pytest.raises(UserError, match='differs from PyTorch by .*nothing was written'):
        api.export(Job(config), str(tmp_path / 'w.pth'), str(tmp_path / 'out.onnx'))
    assert [p.name for p in tmp_path.iterdir()] == ['w.pth']


def test_a_box_without_a_partner_is_seen():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 9, 9.0]])
    one = [boxes, np.array([0.9, 0.5]), np.array([1, 2])]
    other = [boxes[::-1], np.array([0.5, 0.9]), np.array([2, 1])]
    assert parity.matched(one, other, 100, 100) == [(1, 0), (0, 1)]
    moved = [boxes + [[0, 0, 0, 0], [0, 0, 0, 0.02]], *one[1:]]
    with pytest.raises(UserError, match='of 2 boxes 1 have a match .* 2 have none'):
        parity.matched(moved, one, 100, 100)
    assert parity.matched(moved, one, 100, 2) == [(0, 0)]  # the last of as many as there may be


def test_boxes_are_decoded_as_the_paper_has_it():
    """Faster R-CNN, equation 2: x = t_x w_a + x_a, w = w_a exp(t_w)."""
    coder = type('DeltaXYWHBBoxCoder', (), {})()
    coder.means, coder.stds, coder.add_ctr_clamp, coder.clip_border = [0.0] * 4, [1.0] * 4, 0, 1
    decoder = box_ops.Decoder(coder)
    anchors = torch.tensor([[10.0, 10, 30, 50], [0, 0, 8, 8], [0, 0, 8, 8]])
    deltas = torch.tensor([[0.5, 0.25, math.log(2), 0], [0, 0, 0, 0], [0, 0, 99, 0]])
    found = decoder(anchors, deltas, torch.tensor([60.0, 45.0]))
    assert torch.allclose(found[0], torch.tensor([10.0, 20, 45, 60]))  # 10 to 50, cut at 45
    assert torch.allclose(found[1], torch.tensor([0.0, 0, 8, 8]))
    assert torch.allclose(found[2], torch.tensor([0.0, 0, 45, 8]))


def test_suppression_is_within_group_and_image():
    same = torch.tensor([[0.0, 0, 10, 10]]).repeat(5, 1)
    scores = torch.tensor([0.5, 0.9, 0.8, 0.7, 0.6])
    group, image = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 0])
    sizes = torch.tensor([[20.0, 20], [20, 20]])
    choice = box_ops.Choice(iou=0.5, most=9, before=9)
    assert box_ops.suppress(same, scores, group, image, sizes, choice).tolist() == [1, 2, 3]
    choice = box_ops.Choice(iou=0.5, most=1, before=9)  # of each image
    assert box_ops.suppress(same, scores, group, image, sizes, choice).tolist() == [1, 3]


@pytest.mark.parametrize('bins', [1, 2, 3, 6])
def test_pooling_by_matrices_is_adaptive_pooling(bins):
    x = torch.randn(2, 3, 7, 13)
    wanted = nn.functional.adaptive_avg_pool2d(x, bins)
    assert torch.allclose(dynamic_shapes.AveragePool(bins)(x), wanted, atol=1e-6)
