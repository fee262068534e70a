"""Attacks through entry points that are less used: exported models by their outputs and metadata,
names of files and classes, a model of the hub that describes terabytes, ``adopt``, panoptic maps,
examples of the demo, ``--calibrate``."""

import io
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tiny_onnx import FOUND, NOTES, tiny_detector

from moganet_dense.adopt.adopted_text import _in_docstring, code
from moganet_dense.cli import main
from moganet_dense.config.config_text import without_placeholders
from moganet_dense.data.converters.files import Tree
from moganet_dense.data.converters.read_panoptic import find, read
from moganet_dense.data.given_sources import LONGEST_LINE
from moganet_dense.demo.examples import examples_of, read_example
from moganet_dense.explain import figures
from moganet_dense.explain.interactions import Strength
from moganet_dense.export import _calibration
from moganet_dense.inference import predictor
from moganet_dense.inference.predictor import load_model
from moganet_dense.runtime import load
from moganet_dense.toolboxes import allocations
from moganet_dense.toolboxes.allocations import Limited
from moganet_dense.utils.errors import UserError
from moganet_dense.utils.regular_files import read_regular

IMAGE = np.zeros((60, 80, 3), np.uint8)
CROP = dict(size=[48, 64], padding=1.25, udp=False)
TASKS = dict(
    detection=NOTES,
    instances={**NOTES, 'task': 'instance segmentation', 'mask_threshold': 0.5},
    segmentation={**NOTES, 'task': 'segmentation', 'palette': [[1, 2, 3], [4, 5, 6]]},
    pose={**NOTES, 'task': 'pose', 'crop': CROP, 'skeleton': [[0, 1]]},
    classification={**NOTES, 'task': 'classification'},
)
MASKS = np.ones((2, 28, 28), np.float32)
SOUND = dict(
    detection=FOUND,
    instances={**FOUND, 'masks': MASKS},
    segmentation=dict(labels=np.zeros((1, 60, 80), np.int64)),
    pose=dict(keypoints=np.zeros((1, 2, 2), np.float32), scores=np.ones((1, 2), np.float32)),
    classification=dict(scores=np.float32([[0.2, 0.8]])),
)


def exported(folder: Path, task: str, notes: dict | None = None, found: dict | None = None) -> Path:
    return tiny_detector(
        folder / 'a.onnx', {**TASKS[task], **(notes or {})}, {**SOUND[task], **(found or {})}
    )


# --- outputs of an exported model

F, WHOLE = np.float32, np.int64
OUTPUTS = {
    'boxes of three numbers': ('detection', dict(boxes=F([[1, 2, 3]] * 2))),
    'boxes in a row': ('detection', dict(boxes=F([1, 2, 3, 4]))),
    'fewer scores than boxes': ('detection', dict(scores=F([0.9]))),
    'one score': ('detection', dict(scores=np.array(1, F))),
    'fewer labels': ('detection', dict(labels=WHOLE([0]))),
    'labels that are fractions': ('detection', dict(labels=F([0, 0.5]))),
    'labels that are truths': ('detection', dict(labels=np.array([True, False]))),
    'labels below 0': ('detection', dict(labels=WHOLE([-1, 0]))),
    '200 000 boxes': ('detection', dict(
        boxes=np.ones((200_000, 4), F), scores=np.ones(200_000, F),
        labels=np.zeros(200_000, WHOLE))),
    'boxes of 1e30': ('detection', dict(boxes=F([[0, 0, 1e30, 1e30]] * 2))),
    'boxes far away': ('detection', dict(boxes=F([[-5000, 0, 1, 1]] * 2))),
    'scores of 7': ('detection', dict(scores=F([7, 0.5]))),
    'scores below 0': ('detection', dict(scores=F([0.5, -0.5]))),
    'probabilities of 7': ('classification', dict(scores=F([[7, 0.5]]))),
    'keypoints at 1e30': ('pose', dict(keypoints=np.full((1, 2, 2), 1e30, F))),
    'fewer masks': ('instances', dict(masks=MASKS[:1])),
    'masks in a row': ('instances', dict(masks=np.ones((2, 28), F))),
    'masks of no pixel': ('instances', dict(masks=np.ones((2, 0, 0), F))),
    'a class of 99': ('segmentation', dict(labels=np.full((1, 60, 80), 99))),
    'a class below 0': ('segmentation', dict(labels=np.full((1, 60, 80), -5))),
    'a class of 2**62': ('segmentation', dict(labels=np.full((1, 60, 80), 2**62))),
    'a label map of another size': ('segmentation', dict(labels=np.zeros((1, 7, 9), WHOLE))),
    'a label map of no image': ('segmentation', dict(labels=np.zeros((60, 80), WHOLE))),
    'a label map of fractions': ('segmentation', dict(labels=np.zeros((1, 60, 80), F))),
    'a label map of no pixel': ('segmentation', dict(labels=np.zeros((1, 0, 0), WHOLE))),
    'seven keypoints of two': ('pose', dict(keypoints=np.zeros((1, 7, 2), F))),
    'three people of one': ('pose', dict(keypoints=np.zeros((3, 2, 2), F))),
    'keypoints in space': ('pose', dict(keypoints=np.zeros((1, 2, 3), F))),
    'nine scores of two': ('pose', dict(scores=np.ones((1, 9), F))),
    '50 classes of two': ('classification', dict(scores=np.ones((1, 50), F))),
    'no class': ('classification', dict(scores=np.ones((1, 0), F))),
    'scores of no image': ('classification', dict(scores=F([1, 2]))),
}  # fmt: skip


@pytest.mark.parametrize('kind', OUTPUTS)
def test_outputs_of_another_form_are_one_line(kind, tmp_path):
    task, found = OUTPUTS[kind]
    model = load(exported(tmp_path, task, found=found))
    with pytest.raises(UserError, match=r'expected .* from the model, found .*; export') as raised:
        model(IMAGE, order='rgb')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('task', TASKS)
def test_outputs_as_expected_are_results(task, tmp_path):
    assert load(exported(tmp_path, task))(IMAGE, order='rgb') is not None


NOTES_OF_OTHERS = {
    'no classes': ('segmentation', dict(classes=[])),
    'a colour in a row': ('segmentation', dict(palette=[1, 2])),
    'one colour of two': ('segmentation', dict(palette=[[1, 2, 3]])),
    'colours of two numbers': ('segmentation', dict(palette=[[1, 2]] * 2)),
    'a colour of 256': ('segmentation', dict(palette=[[1, 2, 256]] * 2)),
    'no palette': ('segmentation', dict(palette=None)),
    'a link to keypoint 99': ('pose', dict(skeleton=[[0, 99]])),
    'a link to keypoint -1': ('pose', dict(skeleton=[[-1, 0]])),
    'a link of three': ('pose', dict(skeleton=[[0, 1, 1]])),
    'a skeleton that is a text': ('pose', dict(skeleton='ab')),
    'a link of truths': ('pose', dict(skeleton=[[True, False]])),
}


@pytest.mark.parametrize('kind', NOTES_OF_OTHERS)
def test_names_colours_and_links_of_another_form_are_one_line(kind, tmp_path):
    task, notes = NOTES_OF_OTHERS[kind]
    with pytest.raises(UserError, match=r'expected the metadata of .*ValueError'):
        load(exported(tmp_path, task, notes))


# --- names of files


NAMES = [
    b'\xff\xfe.png', b'a\nb.png', b'\x1b[2J.png', '\u202ex.png'.encode(), b'-rf.png', b'%s%n.png',
    b'a' * 250 + b'.png', b'{{x}}.png', b'<img src=x>.png', b'$HOME.png', b'a,b;c".png',
    b"=cmd|' calc'!A0.png",
]  # fmt: skip


@pytest.mark.parametrize('form', ['coco', 'csv', 'yolo', 'labelme'])
def test_images_of_any_name_are_predicted(form, tmp_path, capfd):
    tiny_detector(tmp_path / 'a.onnx')
    Image.new('RGB', (80, 60)).save(tmp_path / 'i.png')
    content = (tmp_path / 'i.png').read_bytes()
    (folder := tmp_path / 'images').mkdir()
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b'/' + name)).write_bytes(content)
    (folder / 'loop').symlink_to('.')
    (folder / 'root').symlink_to('/')
    out = tmp_path / 'out'
    arguments = ['predict', tmp_path / 'a.onnx', folder, '--out', out, '--format', form]
    assert main(list(map(str, arguments))) == 0
    printed = ''.join(capfd.readouterr())
    assert f'processed {len(NAMES)} images' in printed and '\x1b' not in printed
    assert len(list((out / 'drawn').iterdir())) == len(NAMES)
    if form == 'csv':
        text = (out / 'predictions.csv').read_text('utf-8')
        assert text.count('person') == len(NAMES)
        assert text.count("'=cmd|") == text.count("'-rf.png") == 1


def test_a_line_without_an_end_on_standard_input(tmp_path, monkeypatch, capsys):
    class Endless(io.StringIO):
        def readline(self, size: int | None = -1) -> str:
            assert size == LONGEST_LINE + 1, 'it is read to its end'
            return 'a' * size

    tiny_detector(tmp_path / 'a.onnx')
    monkeypatch.setattr(sys, 'stdin', Endless())
    assert main(['predict', str(tmp_path / 'a.onnx'), '-', '--out', str(tmp_path / 'out')]) == 1
    assert 'found a line of more than 65536 characters' in capsys.readouterr().err


@pytest.mark.parametrize('name', [r'$\frac{$', '$', '\x1b[31m', 'x' * 10_000, '\ud800', 'a\nb'])
def test_figures_of_classes_of_any_name(name, tmp_path):
    drawn = figures.heat_over(IMAGE, np.zeros((60, 80)), name, None)
    figures.save(drawn, tmp_path / 'a.png')
    strength = Strength(np.array([0, 1]), np.ones(2))
    figures.save(figures.interactions(strength, 9, name), tmp_path / 'b.png')
    with Image.open(tmp_path / 'a.png') as image:
        assert image.width < 2000


# --- a model of the hub


def test_a_model_of_terabytes_in_a_kilobyte_is_refused():
    with Limited(10**8):
        torch.nn.Conv2d(64, 64, 3)
        with pytest.raises(UserError, match=r'up to 100 MB and 50000 tensors, as its weights are'):
            torch.nn.Linear(10**7, 10**7)
        with pytest.raises(UserError):
            torch.nn.Conv2d(10**5, 10**5, 3)
        with pytest.raises(UserError):
            torch.arange(10**12)
    torch.nn.Linear(1000, 1000)  # no longer


def test_a_model_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(allocations, 'TENSORS', 100)
    with pytest.raises(UserError, match='100 tensors'), Limited(10**9):
        torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(10**6)))


def test_a_model_of_the_hub_is_of_the_size_of_its_weights(tmp_path, monkeypatch):
    (weights := tmp_path / 'model.safetensors').write_bytes(bytes(1000))
    arch = dict(embed_dims=[20_000] * 4, depths=[1] * 4, ffn_ratios=[8] * 4)
    model = dict(type='ImageClassifier', backbone=dict(type='MogaNet', arch=arch))
    cfg = Config(dict(default_scope='mmpretrain', model=model))
    monkeypatch.setattr(predictor, 'from_hub', lambda name: (cfg, str(weights)))
    with pytest.raises(UserError, match='the config describes a larger one'):
        load_model('hf:me/model', device='cpu')


# --- adopt


@pytest.mark.parametrize(
    'name', ['a"""\nimport os; os.system("touch ran")\n"""', 'a\\', "'''", '{{$A:b}}', '\\x22', '"']
)
def test_the_name_of_an_adopted_config_is_no_code(name):
    text = without_placeholders(f'"""{_in_docstring(name)}"""\n')
    scope: dict = {}
    exec(compile(text, 'a', 'exec', dont_inherit=True), scope)
    assert [key for key in scope if not key.startswith('__')] == []
    assert '{{' not in text


@pytest.mark.parametrize(
    'value',
    [
        {'class': 1, 'a': [1.5]}, dict(a=float('inf'), b=-float('inf')), {'a b': 1}, {1: 2},
        {'lambda': {'x' * 60: ['y' * 60]}}, {'"': "'", '\n': '\\'},
        {'k' * 90: {'in': [None, True]}},
    ],
)  # fmt: skip
def test_values_of_an_adopted_config_are_read_as_they_were(value):
    assert eval(code(value), dict(dict=dict, float=float)) == value


# --- panoptic maps


def panoptic(folder: Path, segments: list[dict], image: Image.Image) -> None:
    (folder / 'panoptic').mkdir(parents=True)
    Image.new('RGB', image.size).save(folder / 'a.jpg')
    image.save(folder / 'panoptic/a.png')
    row = dict(image_id=1, file_name='a.png', segments_info=segments)
    width, height = image.size
    images = [dict(id=1, file_name='a.jpg', width=width, height=height)]
    content = dict(images=images, categories=[dict(id=1, name='x', isthing=1)], annotations=[row])
    (folder / 'panoptic.json').write_text(json.dumps(content))


@pytest.mark.parametrize('kind', ['in the file', 'in the map'])
def test_segments_without_end_are_counted(kind, tmp_path):
    """Each is a pass over the image: 100 000 of them would take hours."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    image = Image.fromarray(noise if kind == 'in the map' else np.zeros_like(noise))
    count = 100_000 if kind == 'in the file' else 1
    panoptic(tmp_path, [dict(id=n + 1, category_id=1) for n in range(count)], image)
    start = time.process_time()
    data = read(tree := Tree(tmp_path), find(tree))
    assert 'panoptic PNGs of more than 2000 segments' in data.left_out.counts
    assert time.process_time() - start < 20  # of hours


# --- examples of the demo, calibration


def test_an_example_is_an_image_whatever_its_name(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.jpg')
    (tmp_path / 'b.jpg').symlink_to('/etc/passwd')
    (tmp_path / 'c.png').write_text('secret')
    dataset = dict(data_root=str(tmp_path), data_prefix=dict(img='./'))
    found = examples_of(Config(dict(test_dataloader=dict(dataset=dataset))))
    assert len(found) == 3
    content, kind = read_example(found[0])
    assert kind == 'image/jpeg' and content == read_regular(found[0])
    for path in found[1:]:
        with pytest.raises(UserError, match='expected an image'):
            read_example(path)


def test_images_to_calibrate_with_that_are_none(tmp_path, caplog):
    os.mkfifo(tmp_path / 'a.jpg')
    (tmp_path / 'b.jpg').symlink_to('/dev/zero')
    (tmp_path / 'c.jpg').symlink_to('c.jpg')
    (tmp_path / 'd.jpg').mkdir()
    with pytest.raises(UserError, match='--calibrate: no images in'):
        _calibration('onnx', 'static', str(tmp_path))
    os.truncate((tmp_path / 'e.jpg').open('wb').name, 40 << 30)
    with pytest.raises(UserError, match='none of 1 images in'):
        _calibration('onnx', 'static', str(tmp_path))
    Image.new('RGB', (8, 8)).save(tmp_path / 'f.png')
    assert _calibration('onnx', 'static', str(tmp_path)) == [tmp_path / 'f.png']


def test_sample_data_in_place_of_a_link_to_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('data').mkdir()
    Path('data/mini').symlink_to('mini')
    monkeypatch.setattr('moganet_dense.data.mini.write_coco', lambda *_: None)
    monkeypatch.setattr('moganet_dense.data.mini.write_ade', lambda *_: None)
    assert main(['check', 'retinanet_moganet_xt', '--mini']) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert 'data/mini cannot be written' in line
    assert Path('data/mini').is_symlink() and len(list(Path('data').iterdir())) == 1
