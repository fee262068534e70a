"""Paths that are not what a command expects: missing, a folder for a file, a file of another kind,
an empty one. The message names what is there, and nothing that is there is replaced."""

from pathlib import Path

import numpy as np
import pytest
import torch
from finished_run import write_work_dir
from mmengine.config import Config
from PIL import Image
from tiny_onnx import tiny_detector

from moganet_dense.cli import main
from moganet_dense.config.model_files import names_checkpoint, saved_config, split_words
from moganet_dense.data.layouts import require_files
from moganet_dense.engine.job import Job
from moganet_dense.export import _calibration
from moganet_dense.inference.person_boxes import people
from moganet_dense.utils.atomic import require_folder, require_writable
from moganet_dense.utils.errors import NoWeights, UserError
from moganet_dense.utils.file_kinds import kind_of
from moganet_dense.weights.loading import read_checkpoint

MP4 = b'\0\0\0\x18ftypisom' + bytes(64)


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A file of each kind, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (64, 48)).save('photo.png')
    Path('clip.bin').write_bytes(MP4)
    Path('text.txt').write_text('two words')
    Path('page.pth').write_text('<!DOCTYPE html><html></html>')
    Path('boxes.txt').write_text('[]')
    Path('mine.py').write_text('a = 1')
    Path('empty').touch()
    Path('folder').mkdir()
    np.save('array.npy', np.zeros(3))
    torch.save(dict(state_dict={}), 'weights')
    torch.save({}, 'old.pth', _use_new_zipfile_serialization=False)
    tiny_detector(tmp_path / 'tiny.onnx')
    return tmp_path


KINDS = {
    'photo.png': 'an image', 'clip.bin': 'a video', 'text.txt': 'a text file',
    'page.pth': 'an HTML page', 'boxes.txt': 'a JSON file', 'mine.py': 'a Python file',
    'empty': 'an empty file', 'folder': 'a folder', 'array.npy': 'a NumPy array',
    'weights': 'a checkpoint', 'old.pth': 'a checkpoint', 'tiny.onnx': 'an exported file',
    'nowhere': 'nothing', 'photo.png/a': 'nothing', 'a\0b': 'nothing',
}  # fmt: skip


def test_kinds_by_content(files):
    assert {name: kind_of(name) for name in KINDS} == KINDS


@pytest.mark.parametrize(
    'command', ['train', 'test', 'check', 'browse', 'flops', 'deploy', 'export', 'demo', 'adopt']
)
@pytest.mark.parametrize('name', ['photo.png', 'clip.bin', 'text.txt', 'weights', 'empty'])
def test_another_file_in_place_of_a_config(command, name, files, capsys):
    assert main([command, name]) == 1
    said = capsys.readouterr().err
    assert f'error: expected a config, found {KINDS[name]}: {name}; ' in said


@pytest.mark.parametrize('words', [['predict', 'weights', 'photo.png'],
                                   ['explain', 'weights', 'photo.png'],
                                   ['push', 'weights', 'me/mine']])  # fmt: skip
def test_a_checkpoint_without_its_config(words, files, capsys):
    assert main(words) == 1
    assert 'found a checkpoint: weights; pass its config before it' in capsys.readouterr().err


def test_a_checkpoint_of_a_work_dir_leads_to_the_work_dir(files, capsys):
    Path('folder/mine.py').touch()
    Path('weights').rename('folder/last.pth')
    assert main(['test', 'folder/last.pth']) == 1
    assert 'or its work dir folder in place of both' in capsys.readouterr().err


def test_a_config_that_is_missing_or_empty(files, capsys):
    for command in ('train', 'test', 'check', 'deploy', 'export'):
        assert main([command, 'nowhere.py']) == 1
        said = capsys.readouterr().err
        assert 'no such config: nowhere.py; `moganet-dense zoo` lists' in said
    Path('empty.py').touch()
    with pytest.raises(UserError, match=r'empty.py: expected a config, found an empty file'):
        Job('empty.py').read()


@pytest.mark.parametrize('name', ['photo.png', 'text.txt', 'page.pth', 'empty', 'tiny.onnx'])
def test_another_file_in_place_of_a_checkpoint(name, files):
    with pytest.raises(UserError, match=f'expected a checkpoint .*, found {KINDS[name]}'):
        read_checkpoint(name)


def test_a_folder_in_place_of_a_checkpoint(files):
    with pytest.raises(UserError, match='it is a folder; a work dir is given in place of CONFIG'):
        read_checkpoint('folder')
    assert read_checkpoint('weights') == dict(state_dict={})


def test_the_content_decides_what_is_a_checkpoint(files):
    assert split_words(['c.py', 'clip.bin', 'a.jpg']) == ('c.py', None, ['clip.bin', 'a.jpg'])
    assert split_words(['c.py', 'weights']) == ('c.py', 'weights', [])
    assert names_checkpoint('old.pth') and names_checkpoint('page.pth')  # the error names it
    Path('photo.png').rename('photo.pt')
    assert not names_checkpoint('photo.pt')


@pytest.mark.parametrize('name', ['nowhere', 'text.txt', 'clip.bin', 'empty'])
def test_calibration_needs_images(name, files):
    with pytest.raises(UserError, match=f'--calibrate: expected a folder of images, found '
                                        f'{KINDS[name]}: {name}'):  # fmt: skip
        _calibration('onnx', 'static', name)


def test_images_that_calibrate(files):
    assert _calibration('onnx', 'static', 'photo.png') == [Path('photo.png')]
    assert _calibration('onnx', 'static', '*.png') == [Path('photo.png')]
    with pytest.raises(UserError, match='--calibrate: no images in folder'):
        _calibration('onnx', 'static', 'folder')


def _boxes(where, load=None):
    return people('pose', where, 0.3, 1, load)


@pytest.mark.parametrize('name', ['photo.png', 'clip.bin', 'text.txt', 'weights', 'empty'])
def test_another_file_in_place_of_boxes(name, files):
    with pytest.raises(UserError, match=f'^--boxes: expected a detector .*, a COCO file or '
                                        f'`whole`, found {KINDS[name]}: {name}'):  # fmt: skip
        _boxes(name)


def test_boxes_by_content_and_of_a_detector_without_weights(files):
    assert _boxes('boxes.txt').found == {}  # JSON of any name
    Path('photo.png').rename('photo.json')
    with pytest.raises(UserError, match='photo.json: expected boxes .* of COCO, found an image'):
        _boxes('photo.json')

    def load():
        raise NoWeights('no weights for mine.py')

    with pytest.raises(UserError, match=r'--boxes: no weights for mine.py; .*--boxes-weights'):
        _boxes('mine.py', load)


@pytest.mark.parametrize('name', ['text.txt', 'weights', 'tiny.onnx'])
def test_another_file_in_place_of_an_image(name, files, capsys):
    assert main(['predict', 'tiny.onnx', name]) == 3
    assert f'{name}: expected an image that OpenCV reads, found {KINDS[name]}' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize('words', [
    ['export', 'folder', '--out', 'photo.png'], ['deploy', 'folder', '--out', 'photo.png'],
    ['check', 'mine.py', '--json', 'photo.png'], ['report', 'run', '--out', 'photo.png'],
])  # fmt: skip
def test_a_file_of_another_kind_is_not_replaced(words, files, capsys):
    write_work_dir(files / 'run')
    Path('folder/mine.py').touch()
    torch.save({}, 'folder/best_1.pth')
    before = Path('photo.png').read_bytes()
    assert main(words) == 1
    assert 'photo.png is an image that would be replaced' in capsys.readouterr().err
    assert Path('photo.png').read_bytes() == before


def test_what_may_be_replaced(files):
    require_writable(files / 'tiny.onnx', ('.onnx',))
    require_writable(files / 'empty', ('.onnx',))  # without a suffix: of an earlier call, perhaps
    require_writable(files / 'new.png', ('.onnx',))
    require_folder('--out', files / 'folder/new/deep')
    with pytest.raises(
        UserError, match=r'--out: expected a folder .*, found an image: .*photo.png'
    ):
        require_folder('--out', files / 'photo.png/deep')


def test_a_run_and_the_folder_of_work_dirs_lead_to_the_work_dir(files, capsys):
    Path('runs').mkdir()
    write_work_dir(files / 'runs/balls')
    Path('runs/balls/mine.py').touch()
    for wrong in ('runs/balls/20260101_000000', 'runs'):
        assert main(['report', wrong]) == 1
        assert 'found none; did you mean runs/balls?' in capsys.readouterr().err
        with pytest.raises(UserError, match='found none in .*; did you mean runs/balls?'):
            saved_config(wrong)
    assert main(['report', 'photo.png']) == 1
    assert 'expected a work dir of train or test, found an image' in capsys.readouterr().err


def test_own_data_that_is_missing_is_not_said_to_be_coco(files):
    own = dict(type='CocoDataset', ann_file='balls/train.json', metainfo=dict(classes=('ball',)))
    with pytest.raises(UserError) as raised:
        require_files(Config(dict(a=own)).a, 'mmdet')
    assert 'balls/train.json' in str(raised.value) and '2017' not in str(raised.value)
    with pytest.raises(UserError, match='expected for COCO 2017'):
        require_files(dict(own, data_root='data/coco'), 'mmdet')
