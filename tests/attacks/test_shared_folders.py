"""Runs side by side: in one work dir, in one process within a second, and drawing data/mini."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from toy import write_config

from moganet_dense.config.model_files import model_files, saved_config
from moganet_dense.data import mini as mini_data
from moganet_dense.engine import runner
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import test as evaluate
from moganet_dense.engine.train import train
from moganet_dense.report import write
from moganet_dense.report.runs import read_work_dir
from moganet_dense.toolboxes.load import load
from moganet_dense.utils.atomic import copy_whole
from moganet_dense.utils.errors import UserError

TEST = """
test_dataloader, test_evaluator, test_cfg = val_dataloader, val_evaluator, dict(type='TestLoop')
"""
SECOND = '20260101_000000'


@HOOKS.register_module(force=True)
class WatchHook(Hook):
    """Notes the logger and the message hub of each runner, and makes a report while it trains."""

    seen: ClassVar[list] = []

    def before_run(self, runner) -> None:
        self.seen.append((runner.logger, runner.message_hub))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if batch_idx == 3:
            with open(Path(runner.log_dir, 'vis_data/scalars.json'), 'a') as log:
                log.write('{"loss": 0.')  # as where it is read while it is written
                log.flush()
                write.report([runner.work_dir])
                log.write('\n')


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(WatchHook, 'seen', [])


@pytest.fixture
def frozen(monkeypatch):
    """A clock that shows the same second to mmengine."""
    real = time.strftime
    monkeypatch.setattr(runner, '_folders', set())
    monkeypatch.setattr(
        time, 'strftime', lambda form, *at: SECOND if form == '%Y%m%d_%H%M%S' else real(form, *at)
    )


@pytest.fixture
def config(tmp_path) -> Path:
    path = write_config(tmp_path, length=1, record=True)
    path.write_text(path.read_text() + TEST + "custom_hooks += [dict(type='WatchHook')]\n")
    return path


def test_runs_within_a_second_have_their_own_folders(config, tmp_path, frozen):
    """A training, two tests in its work dir and one in another, all of one name."""
    work = tmp_path / 'work'
    train(Job(config, work_dir=str(work)), check=False)
    assert (work / 'report.html').is_file()  # also made while it trained, by the hook
    for folder in (work, work, tmp_path / 'other'):
        evaluate(Job(config, work_dir=str(folder)), str(work / 'epoch_1.pth'), check=False)
    found = sorted(path.name for path in work.glob('2*'))
    assert found == [SECOND, f'{SECOND}_1', f'{SECOND}_2']
    modes = [run.mode for run in read_work_dir(work).runs]
    assert modes == ['train', 'test', 'test']
    assert all((work / name / 'evaluation.json').is_file() for name in found)
    loggers, hubs = zip(*WatchHook.seen, strict=True)
    assert len(loggers) == len(set(map(id, loggers))) == len(set(map(id, hubs))) == 4
    assert len(list(tmp_path.rglob('*.log'))) == 4


@pytest.mark.slow
def test_a_test_leaves_the_config_of_a_training(config, tmp_path):
    work = tmp_path / 'work'
    train(Job(config, work_dir=str(work)), check=False)
    before = (work / 'toy.py').read_bytes()
    other = Job(config, work_dir=str(work), cfg_options=['randomness.seed=7'])
    evaluate(other, str(work / 'epoch_1.pth'), check=False)
    assert (work / 'toy.py').read_bytes() == before
    evaluate(replace(other, work_dir=str(tmp_path / 'tests')), str(work / 'epoch_1.pth'))
    assert Config.fromfile(saved_config(tmp_path / 'tests')).randomness.seed == 7
    train(other, check=False)
    assert Config.fromfile(work / 'toy.py').randomness.seed == 7


def test_a_link_in_place_of_the_config_is_not_followed(config, tmp_path):
    work, mine = tmp_path / 'work', tmp_path / 'mine'
    mine.write_text('mine')
    work.mkdir()
    (work / 'toy.py').symlink_to(mine)
    (work / 'report.html').symlink_to(mine)
    train(Job(config, work_dir=str(work)), check=False)
    assert mine.read_text() == 'mine' and 'ToyModel' in (work / 'toy.py').read_text()


def test_links_in_place_of_modules_are_not_followed(tmp_path):
    (tmp_path / 'source/part/__pycache__').mkdir(parents=True)
    (tmp_path / 'source/part/a.py').write_text('a')
    (tmp_path / 'source/b.py').write_text('b')
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere/a.py').write_text('mine')
    (tmp_path / 'target').mkdir()
    (tmp_path / 'target/part').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'target/b.py').symlink_to(tmp_path / 'elsewhere/a.py')
    copy_whole(tmp_path / 'source', tmp_path / 'target')
    assert (tmp_path / 'elsewhere/a.py').read_text() == 'mine'
    assert (tmp_path / 'target/part/a.py').read_text() == 'a'
    assert (tmp_path / 'target/b.py').read_text() == 'b'
    assert not list((tmp_path / 'target').rglob('__pycache__'))


def test_a_best_checkpoint_that_a_training_replaces_meanwhile_is_one_line(tmp_path):
    (tmp_path / 'toy.py').write_text('')
    (tmp_path / 'best_loss_epoch_1.pth').write_bytes(b'x')
    files = model_files(tmp_path)
    Path(files.checkpoint).unlink()
    with pytest.raises(UserError, match='best_loss_epoch_1.pth') as raised:
        load(None, files.checkpoint)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('old', [False, True])
def test_the_sample_data_set_is_drawn_once(old, tmp_path, monkeypatch):
    drawn, root = [], tmp_path / 'data/mini'
    if old:
        root.mkdir(parents=True)
        (root / 'VERSION').write_text(mini_data._MARKER + '0')
        (root / 'coco').mkdir()

    def draw(folder: Path, sizes) -> None:
        drawn.append(folder)
        time.sleep(0.05)
        folder.mkdir()
        (folder / 'a').write_text('')

    monkeypatch.setattr(mini_data, 'write_coco', draw)
    monkeypatch.setattr(mini_data, 'write_ade', lambda folder, sizes: folder.mkdir(parents=True))
    at_once = [threading.Thread(target=mini_data.make_mini, args=(root,)) for _ in range(4)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert len(drawn) == 1 and (root / 'coco/a').is_file()
    assert [path.name for path in root.parent.iterdir()] == ['mini']


def test_a_data_set_drawn_meanwhile_without_locks_stays(tmp_path, monkeypatch):
    root = tmp_path / 'mini'

    def draw(folder: Path, sizes) -> None:
        folder.mkdir()
        (root / 'coco').mkdir(parents=True)
        (root / 'VERSION').write_text(mini_data._MARKER + mini_data.VERSION)

    monkeypatch.setattr(mini_data, 'write_coco', draw)
    monkeypatch.setattr(mini_data, 'write_ade', lambda folder, sizes: folder.mkdir(parents=True))
    monkeypatch.setattr('fcntl.flock', lambda *_: (_ for _ in ()).throw(OSError(95, 'no locks')))
    mini_data.make_mini(root)
    assert json.dumps(sorted(path.name for path in root.iterdir())) == '["VERSION", "coco"]'
