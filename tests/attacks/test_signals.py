"""Signals at any time: the training is saved, or it is said that it is not; never half."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from forked import run_command
from mmengine.runner import CheckpointLoader
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.engine.atomic_checkpoint import POINTER, read_training
from moganet_dense.utils import interrupts
from moganet_dense.utils.atomic import replacing

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    heard = (TERM, INT, HUP)
    handlers = {number: signal.getsignal(number) for number in heard}
    yield
    assert {number: signal.getsignal(number) for number in heard} == handlers


@pytest.fixture
def toy(tmp_path):
    """Trains the toy with a hook of stop_at; returns the exit code."""

    def run(hook: str | None, *more: str, work: str = 'work', **options) -> int:
        config = write_config(tmp_path, **options)
        if hook:
            text = config.read_text().replace("'toy']", "'toy', 'stop_at']")
            config.write_text(f'{text}custom_hooks += [dict({hook})]\n')
        return main(['train', str(config), '--work-dir', str(tmp_path / work), *more])

    return run


def last(work_dir: Path) -> dict:
    return read_training((work_dir / POINTER).read_text())


def stop_at(iteration: int, *signals: int, gap: float = 0, stage: str = 'before_train_iter') -> str:
    return (
        f"type='StopAt', iteration={iteration}, signals={[int(n) for n in signals]}, "
        f'gap={gap}, stage={stage!r}'
    )


@pytest.mark.parametrize(
    ('signals', 'gap'),
    [
        ((TERM, TERM), 0),
        ((TERM, TERM), 0.002),
        ((TERM, TERM), 0.05),
        ((INT, INT), 0.05),  # a key that bounces
        ((TERM, INT, TERM), 0),
        ((HUP,), 0),
    ],
)
def test_signals_within_milliseconds_are_one(signals, gap, toy, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(interrupts, 'BOUNCE', 60.0)  # a busy machine makes a second of them
    assert toy(stop_at(9, *signals, gap=gap)) == 75
    said = capfd.readouterr().err
    assert f'{signals[0].name}: finishing the iteration, then saving' in said
    assert f'stopped by {signals[0].name} after iteration 9; saved' in said
    assert last(tmp_path / 'work')['meta']['iter'] == 9


@pytest.mark.parametrize(
    'stage', ['before_val_iter', 'after_val_epoch', 'before_save_checkpoint', 'after_train_epoch']
)
def test_a_signal_in_evaluation_and_in_a_write(stage, toy, tmp_path):
    assert toy(stop_at(7, TERM, stage=stage)) == 75
    assert not list((tmp_path / 'work').glob('.*.part'))
    done = last(tmp_path / 'work')['meta']['iter']
    assert done in (6, 7)
    assert toy(None, '--resume') == 0
    assert toy(None, work='whole') == 0
    found, whole = last(tmp_path / 'work'), last(tmp_path / 'whole')
    for name, value in whole['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name


def test_a_signal_in_set_up_advises_nothing_that_does_not_work(toy, tmp_path, capfd):
    hook = stop_at(1, TERM, stage='before_run')
    assert toy(hook) == 128 + TERM
    said = capfd.readouterr().err
    assert 'stopped by SIGTERM' in said and 'nothing was saved' in said
    assert '--resume' not in said and 'Traceback' not in said
    assert toy(None, length=1) == 0
    capfd.readouterr()
    assert toy(stop_at(1, INT, stage='before_run'), length=1) == 128 + INT
    said = capfd.readouterr().err
    assert 'epoch_1.pth' in said and '--resume' in said


@pytest.mark.slow
def test_a_deliberate_second_ctrl_c_stops_at_once(toy, tmp_path, capfd):
    assert toy(stop_at(9, INT, INT, gap=1.1)) == 130
    said = capfd.readouterr().err
    assert 'Ctrl-C again stops at once' in said and 'stopped at once' in said
    assert 'epoch_1.pth' in said  # what there is
    assert not (tmp_path / 'work' / 'interrupted.pth').exists()
    assert last(tmp_path / 'work')['meta']['iter'] == 6


def test_a_signal_that_is_ignored_stays_so(toy, tmp_path):
    before = signal.signal(HUP, signal.SIG_IGN)  # as under nohup
    try:
        assert toy(stop_at(3, HUP), length=1) == 0
    finally:
        signal.signal(HUP, before)


@pytest.mark.slow
def test_loader_workers_survive_what_reaches_every_process(toy, tmp_path):
    assert toy(f"type='HitWorkers', iteration=3, number={int(TERM)}", workers=1, length=1) == 0
    assert toy(f"type='HitWorkers', iteration=3, number={int(HUP)}", workers=1, length=1) == 0


@pytest.mark.slow
@pytest.mark.parametrize('stage', ['before_train_iter', 'before_val_iter'])
def test_a_killed_loader_worker_saves_what_can_be_saved(stage, toy, tmp_path, capfd):
    hook = f"type='HitWorkers', iteration=8, number={int(signal.SIGKILL)}, stage={stage!r}"
    assert toy(hook, workers=1) == 1
    said = capfd.readouterr().err
    (line,) = [x for x in said.splitlines() if x.startswith('error')]
    assert 'a loader worker ended' in line and 'interrupted.pth' in line and '--resume' in line
    assert toy(None, '--resume', workers=1) == 0
    assert toy(None, work='whole', workers=1) == 0
    found, whole = last(tmp_path / 'work'), last(tmp_path / 'whole')
    for name, value in whole['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ('stage', 'code'),
    [
        ('before_train_iter', 75),
        pytest.param('before_val_iter', 75, marks=pytest.mark.long),
        pytest.param('before_save_checkpoint', 75, marks=pytest.mark.long),
        pytest.param('before_run', 128 + TERM, marks=pytest.mark.long),
    ],
)
def test_gnu_timeout(stage, code, tmp_path):
    """It signals its child, and then its group, with the child in it."""
    config = write_config(tmp_path, length=40)
    text = config.read_text().replace("'toy']", "'toy', 'stop_at']")
    hook = stop_at(1 if stage == 'before_run' else 7, TERM, gap=0.5, stage=stage)
    config.write_text(f'{text}custom_hooks += [dict({hook}, parent=True)]\n')
    work = tmp_path / 'work'
    command = [sys.executable, '-m', 'moganet_dense', 'train', str(config), '--work-dir', str(work)]
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    done = subprocess.run(
        ['timeout', '1000', *command],
        capture_output=True, text=True, start_new_session=True,
        env={**os.environ, 'PYTHONPATH': path},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stderr.count('stopped by SIGTERM') == 1 and 'Traceback' not in done.stderr
    assert (work / POINTER).exists() == (code == 75)
    assert not list(tmp_path.rglob('.*.part*'))


@pytest.mark.parametrize('signals', [(TERM, TERM), (HUP, TERM), (INT, INT)])
def test_a_signal_ends_any_other_command(signals, tmp_path):
    """In one line, after it has removed what it was writing."""

    def hit() -> None:
        import moganet_dense.report.write as module

        def report(*_) -> None:
            with replacing(tmp_path / 'report.html') as temporary:
                temporary.write_text('half')
                for number in signals:
                    os.kill(os.getpid(), number)
                time.sleep(60)

        module.report = report

    done = run_command(['report', str(tmp_path)], before=hit)
    assert done.code == 128 + signals[0]
    assert done.err == f'stopped by {signals[0].name}\n'
    assert list(tmp_path.iterdir()) == []
