"""Every command and every Python block of the README, run one after the other on the other's
result: on the bundled sample data set, with the smallest backbone, few images and one round.

What is not run here, and what runs it instead, is in ELSEWHERE.
"""

import re
import shlex
import shutil
import subprocess

import pytest
from conftest import ROOT
from narrow import narrow

from moganet_dense.cli import COMMANDS
from moganet_dense.data.validation import image_files

PAGE = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'^```(bash|python)\n(.*?)```', PAGE, re.MULTILINE | re.DOTALL)
LINES = [
    line.partition(' #')[0].strip()
    for kind, text in BLOCKS
    for line in text.splitlines()
    if kind == 'bash'
]
ROWS = re.findall(r'^\| `(moganet-dense .*?)` \|', PAGE, re.MULTILINE)

ELSEWHERE = {
    'make train': 'tests/test_end_to_end.py',  # test_the_detector_of_make_train_learns
    'make test': '.ci/run',  # this is in it
    'moganet-dense init': 'tests/data/converters',  # on every format
    'moganet-dense demo': 'tests/demo',  # it serves until it is stopped
    'moganet-dense doctor': 'tests/doctor/test_doctor.py',
    'moganet-dense adopt': 'tests/adopt',
    'moganet-dense push': 'tests/inference/test_hub.py',  # it uploads
}
CONFIG = 'retinanet_moganet_xt.py'  # narrow, in the folder of the test
WORK_DIR = 'work_dirs/retinanet_moganet_xt_mini'
SMALL = {
    'configs/det/retinanet_moganet_s.py': CONFIG,
    'CONFIG': CONFIG,
    '[CHECKPOINT]': f'{WORK_DIR}/epoch_1.pth',
    'work_dirs/retinanet_moganet_s': WORK_DIR,
    'WORK_DIR': WORK_DIR,
}
FEW = ' '.join(f'{loader}_dataloader.dataset.indices=4' for loader in ('val', 'test'))
SHORT = {
    'train': f'--mini --cfg-options {FEW} train_dataloader.dataset.indices=8 '
    'train_cfg.max_epochs=1 train_cfg.val_interval=1',
    'test': f'--cfg-options {FEW} model.test_cfg.score_thr=0.0',
    'check': '--mini',
    'browse': '--mini --number 2',
    'explain': '--part pyramid',
    'export': '--shape 96 96',
    'flops': '--shape 64 64',
}


def small(line: str) -> str:
    """Arguments of a line of the README, on small things."""
    words = [SMALL.get(word, word) for word in line.split()[1:]]
    return ' '.join([*words, SHORT.get(words[0], '')])


def name_of(line: str) -> str:
    return ' '.join(line.split()[:2])


def test_it_is_short():
    assert len(PAGE.splitlines()) < 150


def test_the_table_has_every_command():
    named = {line.split()[1] for line in ROWS}
    assert named == set(COMMANDS)


def test_every_line_is_run_or_said_where():
    for line in LINES:
        assert name_of(line) in ELSEWHERE or line.startswith('moganet-dense '), line
    for line, place in ELSEWHERE.items():
        assert (ROOT / place).exists(), line


@pytest.mark.parametrize('target', sorted(set(re.findall(r'`?make (\w+)', PAGE)) - {'up'}))
def test_the_targets_of_make_are_there(target):
    done = subprocess.run(['make', '-n', target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_commands_and_python_blocks_run(workspace, mini, cli, capfd, monkeypatch):
    some = "model['test_cfg'] = dict(score_thr=0.0)\n"  # of boxes that it has hardly learned
    narrow(ROOT / 'configs/det' / CONFIG, workspace, some)
    monkeypatch.setattr(image_files, 'FEW', 1000)  # in this process, not in new ones
    (workspace / 'photos').mkdir()
    image = sorted((mini / 'coco/val2017').iterdir())[0]
    for name in ('photo.jpg', 'photos/photo.jpg'):
        shutil.copy(image, workspace / name)
    done = set()
    for line in LINES + ROWS:
        command = line.split()[1]
        if name_of(line) not in ELSEWHERE and command not in done:
            cli(*shlex.split(small(line)))
            done.add(command)
    checkpoint = SMALL['[CHECKPOINT]']
    loaded = f"load_model('{CONFIG}', '{checkpoint}')"
    capfd.readouterr()
    for kind, text in BLOCKS:
        if kind == 'python':
            exec(text.replace("load_model('retinanet_moganet_s')", loaded), {})
    assert '(128, 320, 512) (8, 16, 32)' in capfd.readouterr().out  # as the README says
    assert (workspace / checkpoint).is_file()
    assert list((workspace / 'images').glob('*.jpg'))
    assert (workspace / 'deployed.pth').is_file()
