"""What each command shows is about its result: no line of a library's log or warning, in a process
whose logger is new."""

import sys
import warnings
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from noise import NOISE
from own_data import BOXES, LABELS, write_boxes, write_labels, write_tiny

from moganet_dense.cli import main
from moganet_dense.commands.group import COMMANDS
from moganet_dense.engine.screen import ScreenHandler, few_lines

TRAIN = ['--img-size', '64', '--epochs', '1', '--device', 'cpu', '--from-scratch']
BOX_COMMANDS = [
    'check mine.py', 'check mine.py --json -', 'check mine.py --fix fixed',
    'browse mine.py --number 2', f'train mine.py {" ".join(TRAIN)}', 'test work_dirs/mine',
    'report work_dirs/mine', 'predict work_dirs/mine data/images/0.png',
    'predict work_dirs/mine data/images/0.png --json',
    'predict work_dirs/mine data/images/0.png --tile 64 --out tiles',
    'explain work_dirs/mine data/images/0.png --part pyramid',
    'export work_dirs/mine --out boxes.onnx', 'predict boxes.onnx data/images/0.png --out exported',
    'deploy work_dirs/mine --out deployed.pth', 'flops mine.py --shape 64 64', 'zoo',
    'adopt mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --arch xt --no-trial',
]  # fmt: skip
LABEL_COMMANDS = [
    'check mine.py', 'check mine.py --fix fixed', 'browse mine.py --number 2',
    f'train mine.py {" ".join(TRAIN)} --batch-size 2', 'test work_dirs/mine',
    'predict work_dirs/mine data/images/0.png', 'export work_dirs/mine --out labels.onnx',
    'explain work_dirs/mine data/images/0.png --part pyramid',
]  # fmt: skip
ELSEWHERE = {'demo': 'it serves', 'push': 'it uploads', 'doctor': 'tests/doctor, as it takes long'}


@pytest.fixture
def new_loggers(monkeypatch):
    """No logger has been set up yet."""
    monkeypatch.setattr(MMLogger, '_instance_dict', type(MMLogger._instance_dict)())


def screen(words: list[str], capfd) -> str:
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter('default')  # pytest turns them off for the screen
        code = main(words)
    said = ''.join(capfd.readouterr())
    assert code == 0, said
    return said


@pytest.mark.slow  # every command once
@pytest.mark.parametrize('task', ['boxes', 'labels'])
def test_no_command_shows_what_libraries_say(task, tmp_path, monkeypatch, new_loggers, capfd):
    monkeypatch.chdir(tmp_path)
    write, text, commands = dict(
        boxes=(write_boxes, BOXES, BOX_COMMANDS), labels=(write_labels, LABELS, LABEL_COMMANDS)
    )[task]
    write(Path('data'), 6)
    shown = {'init': screen(['init', 'data', '--name', 'full'], capfd)}
    write_tiny(tmp_path, text)
    for command in commands:
        MMLogger._instance_dict.clear()
        shown[command] = screen(command.split(), capfd)
    noisy = {k: found[0] for k, v in shown.items() if (found := NOISE.search(v))}
    assert noisy == {}
    assert 'train: nothing to fix' in shown['check mine.py --fix fixed']
    assert 'use them' not in shown['check mine.py --fix fixed'] and not Path('fixed').exists()
    loaded = shown['predict work_dirs/mine data/images/0.png'].splitlines()[0]
    assert loaded.startswith('Loaded all ') and loaded.endswith('.pth')


def test_every_command_is_shown():
    shown = {command.split()[0] for command in (*BOX_COMMANDS, *LABEL_COMMANDS, 'init')}
    assert shown | set(ELSEWHERE) == set(COMMANDS)


def test_errors_of_libraries_are_shown_and_the_logger_is_as_before(new_loggers, capsys):
    logger = MMLogger.get_current_instance()
    before = list(logger.handlers)
    with few_lines(sys.stderr):
        assert any(isinstance(handler, ScreenHandler) for handler in logger.handlers)
        namespace = {'__name__': 'mmdet.x', 'logger': logger, 'print': print}
        exec("logger.info('an option'); print('an index'); logger.error('a fault')", namespace)
        logger.info('ours')
        print('a result')
    assert logger.handlers == before
    said = capsys.readouterr()
    assert said.out == '' and said.err.splitlines() == ['error: a fault', 'ours', 'a result']
