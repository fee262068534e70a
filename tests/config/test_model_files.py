"""CONFIG [CHECKPOINT], or a work dir in place of both."""

import os

import pytest

from moganet_dense.cli import main
from moganet_dense.commands.options import split_out
from moganet_dense.config import metafiles
from moganet_dense.config.model_files import ModelFiles, model_files, names_checkpoint, split_words
from moganet_dense.utils.errors import UserError

NAME = 'retinanet_moganet_s'


@pytest.fixture
def work_dir(tmp_path, monkeypatch):
    """What two trainings left: two configs, checkpoints of three epochs, no best one yet."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'work'
    folder.mkdir()
    for second, name in enumerate(('old.py', 'new.py', 'epoch_1.pth', 'epoch_2.pth')):
        (folder / name).touch()
        os.utime(folder / name, (second, second))
    (folder / 'last_checkpoint').write_text(f'{folder}/epoch_2.pth')
    return folder


def test_a_work_dir_is_its_last_config_and_its_best_checkpoint_else_its_last(work_dir):
    assert model_files('work') == ModelFiles('work/new.py', 'work/epoch_2.pth')
    assert model_files('work', 'x.pth') == ModelFiles('work/new.py', 'x.pth')
    for second, name in enumerate(('best_AP_epoch_2.pth', 'best_AP_epoch_1.pth')):
        (work_dir / name).touch()
        os.utime(work_dir / name, (second, second))
    assert model_files('work').checkpoint == 'work/best_AP_epoch_1.pth'  # the newer one


def test_a_work_dir_that_was_moved(work_dir):
    work_dir.rename(work_dir.with_name('elsewhere'))
    assert model_files('elsewhere').checkpoint == 'elsewhere/epoch_2.pth'


def test_what_a_work_dir_lacks_is_said(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    with pytest.raises(UserError, match='no checkpoint was saved yet; pass CONFIG CHECKPOINT'):
        model_files('work')
    for config in work_dir.glob('*.py'):
        config.unlink()
    with pytest.raises(UserError, match='with the config of a training, found none in work'):
        model_files('work')


def test_a_work_dir_that_is_absent_is_said(work_dir):
    with pytest.raises(UserError, match=r'^no such folder: ./wrk; did you mean work\?'):
        model_files('./wrk')
    for absent in (f'work_dirs/{NAME}', 'work/of/nobody'):
        with pytest.raises(UserError, match=f'^no such folder: {absent}; expected the work dir'):
            model_files(absent)
    with pytest.raises(UserError, match='^no such model: work_dir; `moganet-dense zoo` lists all'):
        model_files('work_dir')


def test_names_of_the_zoo_bring_published_weights():
    url = metafiles.find(NAME)['Weights']
    assert model_files(NAME) == model_files(NAME, NAME) == ModelFiles(NAME, url)
    assert model_files('x.py', NAME) == ModelFiles('x.py', url)
    with pytest.raises(UserError, match=f'no weights for .*; {NAME} has published'):
        model_files(f'configs/det/{NAME}.py')
    with pytest.raises(UserError, match='no weights are published for faster_rcnn_moganet_s'):
        model_files('faster_rcnn_moganet_s')


@pytest.mark.parametrize(
    'word, expected',
    [
        ('epoch_1.pth', True),
        ('moga.pth.tar', True),
        ('MODEL.SAFETENSORS', True),
        ('https://host/w.pth?token=1', True),
        ('moganet://s_in1k_224', True),
        (NAME, True),
        ('photo.jpg', False),
        ('photos/*.png', False),
        ('-', False),
        ('clip.mp4', False),
    ],
)
def test_what_is_a_checkpoint_among_inputs(word, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names_checkpoint(word) is expected
    assert split_words(['c.py', word, 'a.jpg'])[1] == (word if expected else None)


def test_a_folder_named_as_a_model_is_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert split_words(['c.py', NAME]) == ('c.py', None, [NAME])


def test_the_file_that_is_written(work_dir):
    last = 'work/epoch_2.pth'  # the file inside, whatever path the pointer has
    assert split_out(['work'], None, '.onnx') == ('work/new.py', last, 'work/new.onnx')
    assert split_out(['work'], 'x.onnx', '.onnx') == ('work/new.py', last, 'x.onnx')
    assert split_out(['a/c.py', 'w'], None, '.pt2') == ('a/c.py', 'w', 'c.pt2')
    assert split_out(['a/c.py', 'w', 'o'], None, '.pt2') == ('a/c.py', 'w', 'o')  # as before
    assert split_out([NAME], None, '.onnx')[2] == f'{NAME}.onnx'


@pytest.mark.parametrize('command', ['test', 'predict', 'export', 'explain', 'deploy', 'demo'])
def test_all_commands_ask_for_the_same(command, capsys):
    assert main([command, '--help']) == 0
    usage = capsys.readouterr().out.splitlines()[0]
    assert 'CONFIG [CHECKPOINT]' in usage
    rest = ['a.jpg'] if command in ('predict', 'explain') else []
    assert main([command, 'configs/det/retinanet_moganet_s.py', *rest]) == 1
    assert 'expected CONFIG CHECKPOINT' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['FIFO', '40 GB', 'NUL', 'long'])
def test_a_pointer_that_is_no_file_is_none(kind, work_dir):
    pointer = work_dir / 'last_checkpoint'
    pointer.unlink()
    if kind == 'FIFO':
        os.mkfifo(pointer)
    else:
        pointer.write_bytes(dict(NUL=b'a\0b', long=b'a' * 3000).get(kind, b''))
    if kind == '40 GB':
        os.truncate(pointer, 40 << 30)
    with pytest.raises(UserError, match='found neither'):
        model_files('work')
