"""Options that would have no effect beside others, or on a task: refused, or a line says so."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_onnx import FOUND, NOTES, tiny_detector

from moganet_dense.cli import main
from moganet_dense.commands.predict_checks import FORMATS
from moganet_dense.results import Classification, Detections, Panoptic, Poses, Segmentation

PREDICT = {
    '--json --format csv': r'--format would have no effect: with --json files are .* add it',
    '--boxes-thr 0.5': '--boxes-thr would have no effect: it needs --boxes',
    '--boxes-class cat': '--boxes-class would have no effect: it needs --boxes',
    '--boxes whole --boxes-thr 0.5': 'with --boxes whole no box has a score',
    '--format csv --masks polygons': '--masks would have no effect: .* add --format coco',
    '--masks polygons': '--masks would have no effect: a model of detection has no masks',
    '--batch-size 4': '--batch-size would have no effect: an exported file takes images one by',
    '--trust-checkpoint': '--trust-checkpoint would have no effect: it is for PyTorch',
    '--no-cuda-graphs': '--no-cuda-graphs would have no effect: it is for PyTorch',
    '--overlap 0.1': 'add --tile PIXELS',
    '--boxes-weights a.pth': '--boxes-weights needs a detector',
    '--track': '--track would have no effect: it is for videos, found 1 image',
}


@pytest.fixture
def photo(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (80, 60)).save('photo.png')
    tiny_detector(tmp_path / 'a.onnx')
    return tmp_path


@pytest.mark.parametrize('options', PREDICT)
def test_options_of_predict_without_effect(options, photo, capsys):
    assert main(['predict', 'a.onnx', 'photo.png', *options.split()]) == 2
    said = ' '.join(capsys.readouterr().err.split())
    assert re.search(PREDICT[options], said), said
    assert not Path('predictions').exists()


@pytest.mark.parametrize(
    ('task', 'options', 'reason'),
    [
        ('classification', '--score-thr 0.5', 'a model of classification has no scores of objects'),
        ('classification', '--format labelme', 'choose among coco, csv, yolo'),
        ('classification', '--masks rle', 'a model of classification has no masks'),
    ],
)
def test_options_that_a_task_does_not_have(task, options, reason, photo, capsys):
    tiny_detector(photo / 'b.onnx', {**NOTES, 'task': task}, dict(scores=FOUND['scores'][None]))
    assert main(['predict', 'b.onnx', 'photo.png', *options.split()]) == 2
    assert reason in ' '.join(capsys.readouterr().err.split())


def test_the_formats_of_a_task_are_those_of_its_results():
    results = {'detection': Detections, 'instance segmentation': Detections, 'pose': Poses,
               'segmentation': Segmentation, 'classification': Classification,
               'panoptic segmentation': Panoptic}  # fmt: skip
    for name, method in dict(csv='to_table', yolo='to_yolo', labelme='to_labelme').items():
        having = {task for task, kind in results.items() if hasattr(kind, method)}
        assert set(FORMATS[name]) == having


def test_images_in_which_the_detector_finds_nobody(photo, capsys):
    crop = dict(size=[48, 64], padding=1.25, udp=False)
    notes = {**NOTES, 'task': 'pose', 'crop': crop, 'skeleton': [[0, 1]]}
    found = dict(keypoints=np.zeros((1, 2, 2), np.float32), scores=np.ones((1, 2), np.float32))
    tiny_detector(photo / 'pose.onnx', notes, found)  # a.onnx finds a person of score 0.9
    words = ['predict', 'pose.onnx', 'photo.png', '--boxes', 'a.onnx', '--boxes-thr']
    assert main([*words, '0.95']) == 0
    assert (
        'no pose in 1 of 1 image: the detector found no person of score 0.95 or more; its best '
        'score there is 0.900: --boxes-thr 0.89 takes it'
    ) in capsys.readouterr().err
    assert main([*words, '0.9']) == 0
    assert 'no pose' not in capsys.readouterr().err
    Path('boxes.json').write_text(
        '{"images": [{"id": 1, "file_name": "photo.png"}], "annotations": []}'
    )
    assert main(['predict', 'pose.onnx', 'photo.png', '--boxes', 'boxes.json']) == 0
    assert 'no pose in 1 of 1 image: boxes.json has no person' in capsys.readouterr().err


def test_what_has_an_effect_is_not_refused(photo, capsys):
    assert main(['predict', 'a.onnx', 'photo.png', '--json', '--format', 'csv', '--out', 'o']) == 0
    assert Path('o/predictions.csv').is_file()
    assert 'earlier run' not in capsys.readouterr().err
    assert main(['predict', 'a.onnx', 'photo.png', '--format', 'coco', '--out', 'o']) == 0
    said = capsys.readouterr().err
    assert 'o/predictions.csv is of an earlier run, and not replaced' in said
    shutil.rmtree('o')
    assert main(['predict', 'a.onnx', 'photo.png', '--score-thr', '0.1', '--out', 'o']) == 0


def test_changes_are_accepted_on_resuming_alone(capsys):
    assert main(['train', 'nowhere.py', '--accept-changes']) == 1
    assert '--accept-changes has no effect without --resume' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        ('check retinanet_moganet_s --fix o --json r.json', '--json would have no effect: --fix'),
        ('demo a.onnx --no-cuda-graphs', '--no-cuda-graphs would have no effect'),
    ],
)
def test_options_of_other_commands_without_effect(words, reason, photo, capsys):
    assert main(words.split()) == 2
    assert re.search(reason, ' '.join(capsys.readouterr().err.split()))
