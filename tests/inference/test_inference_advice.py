"""What messages of inference, export and the page advise is done literally, and works.

Each case brings about a message, reads the advice out of it, and follows that. Advice on data and
configs is followed in data/validation/test_advice.py.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from file_server import Answer, serving
from tiny_onnx import tiny_detector

from moganet_dense.cli import COMMANDS, main
from moganet_dense.config import metafiles
from moganet_dense.data.image_array import as_bgr
from moganet_dense.data.sources import Frame, find, frames
from moganet_dense.demo.guard import host_names, origins
from moganet_dense.demo.model_cache import ModelCache
from moganet_dense.engine.job import Job
from moganet_dense.export import _calibration, export
from moganet_dense.inference.person_boxes import people
from moganet_dense.inference.predict import SKIPPED
from moganet_dense.inference.predictor import _config_and_weights
from moganet_dense.results import Detections
from moganet_dense.results.kinds import class_indices
from moganet_dense.runtime import load
from moganet_dense.utils.errors import UserError

IMAGE = np.full((40, 60, 3), 90, np.uint8)
BOXES = np.array([[2, 3, 20, 30]], np.float32)
FOUND = Detections(BOXES, np.array([0.5], np.float32), np.array([0]), ('person', 'dog'))
CASES: dict[str, Callable[..., None]] = {}


def case(follow: Callable[..., None]) -> Callable[..., None]:
    CASES[follow.__name__] = follow
    return follow


def message(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert '\n' not in str(caught.value)
    return str(caught.value)


def advice(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


@case
def the_order_of_an_array(folder, capfd):
    text = message(lambda: as_bgr(IMAGE))
    order = advice(text, r"pass order='(\w+)'")
    assert as_bgr(IMAGE, order).shape == IMAGE.shape


@case
def a_batch_of_tensors(folder, capfd):
    batch = torch.zeros(2, 3, 40, 60, dtype=torch.uint8)
    assert 'a batch goes as list(batch)' in message(lambda: as_bgr(batch))
    assert [as_bgr(one).shape for one in list(batch)] == [IMAGE.shape] * 2


@case
def a_config_without_weights(folder, capfd):
    from mmengine.config import Config

    cfg = Config(dict(model=dict(type='MogaNet')))
    random = advice(message(lambda: _config_and_weights(cfg, None)), r"or '(\w+)'")
    assert _config_and_weights(cfg, random)[1] == random


@case
def the_name_of_a_model(folder, capfd):
    text = message(lambda: _config_and_weights('retinanet_moganet_x', None))
    name = advice(text, r'did you mean (\w+)')
    assert metafiles.find(name)


@case
def the_name_of_a_class(folder, capfd):
    text = message(lambda: FOUND.where(name='persn'))
    assert len(FOUND.where(name=advice(text, r'did you mean (\w+)'))) == 1
    assert class_indices('dog', FOUND.names) == [1]


@case
def the_size_of_an_image(folder, capfd):
    text = message(FOUND.to_yolo)
    line = advice(text, r'use dataclasses\.(replace\(.*\))$')
    complete = eval(line, dict(replace=replace, result=FOUND, height=40, width=60))
    assert complete.to_yolo().startswith('0 ')


@case
def an_address_of_a_private_network(folder, capfd):
    file = str(tiny_detector(folder / 'm.onnx'))
    with serving(Answer(cv2.imencode('.png', IMAGE)[1].tobytes())) as (address, requests):
        run = ['predict', file, f'{address}/a.png', '--out', str(folder / 'out')]
        assert main(run) == SKIPPED and not requests
        option = advice(capfd.readouterr().err, r'use https, or (\S+) for servers of your own')
        assert main([*run, option]) == 0 and requests == ['/a.png']


@case
def a_score_that_nothing_reaches(folder, capfd):
    cv2.imwrite(str(folder / 'a.png'), IMAGE)
    run = ['predict', str(tiny_detector(folder / 'm.onnx')), str(folder / 'a.png')]
    run += ['--out', str(folder / 'out')]
    assert main([*run, '--score-thr', '1']) == 0
    words = shlex.split(advice(capfd.readouterr().err, r': (--score-thr [\d.]+) shows it'))
    assert main([*run, *words]) == 0
    assert 'found: person 1' in capfd.readouterr().err


@case
def a_device_without_its_runtime(folder, capfd):
    file = tiny_detector(folder / 'm.onnx')
    text = message(lambda: load(file, device='gpu'))
    assert load(file, device=advice(text, r'expected (\w+),')).task == 'detection'


@case
def a_file_that_export_writes(folder, capfd):
    text = message(lambda: load(folder / 'none.onnx'))
    name = advice(text, r'`moganet-dense (\w+)` writes such files')
    assert name in COMMANDS


@case
def boxes_of_another_class(folder, capfd):
    (folder / 'dogs.json').write_text(
        '{"images": [{"id": 7, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 7, '
        '"category_id": 3, "bbox": [1, 2, 30, 20]}], "categories": [{"id": 3, "name": "dog"}, '
        '{"id": 4, "name": "cat"}]}'
    )
    cv2.imwrite(str(folder / 'a.png'), IMAGE)
    given = 'pose', str(folder / 'dogs.json'), 0.3, 1, None
    text = message(lambda: people(*given, None))
    name = advice(text, r"choose one with --boxes-class: '(\w+)'")
    frame = next(iter(frames(find([str(folder / 'a.png')]))))
    assert isinstance(frame, Frame)
    (found,) = people(*given, name)([frame])
    assert len(found) == 1


@case
def weights_of_a_model_of_the_page(folder, capfd):
    (folder / 'best.pth').touch()
    text = message(lambda: ModelCache.of(['faster_rcnn_moganet_s']))
    name = advice(text, r'pass (\w+) CHECKPOINT')
    assert ModelCache.of([name, str(folder / 'best.pth')]).choices


@case
def names_of_the_page(folder, capfd):
    name = advice(message(lambda: host_names(['a b'])), r'such as (\S+),')
    assert host_names([name])
    site, every = re.search(
        r'expected an origin as (\S+) or (\S+),', message(lambda: origins(['a.example']))
    ).groups()
    assert origins([site, every]) == [site, every]


@case
def a_folder_that_calibrates(folder, capfd):
    cv2.imwrite(str(folder / 'a.png'), IMAGE)
    text = message(lambda: _calibration('onnx', 'static', None))
    assert '--calibrate DIR' in text
    assert len(_calibration('onnx', 'static', str(folder))) == 1
    assert 'the other way round' in message(lambda: _calibration('onnx', None, str(folder)))


@case
def options_of_export(folder, capfd):
    job = Job('none.py')
    text = message(lambda: export(job, 'x.pth', str(folder / 'm.onnx'), int8='dynamic', fp16=True))
    assert '--fp16 is for --format onnx, without --int8' in text
    text = message(lambda: export(job, 'x.pth', str(folder / 'm.onnx'), fp16=True))
    assert '--fp16' not in text  # the next mistake: there is no such config


@pytest.mark.parametrize('name', CASES)
def test_advice_is_followed(name, tmp_path, capfd):
    CASES[name](tmp_path, capfd)


def test_every_command_in_a_message_exists():
    """`moganet-dense NAME` and `python -m moganet_dense NAME` in the code name commands."""
    known = set(COMMANDS)
    for file in (ROOT / 'moganet_dense').rglob('*.py'):
        text = file.read_text()
        for name in re.findall(r'`(?:moganet-dense|python -m moganet_dense) ([a-z]+)', text):
            assert name in known, f'{file.name}: {name}'
