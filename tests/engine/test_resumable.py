"""A training that is stopped anywhere and resumed is bitwise identical to one that never stopped;
and what
stops it leaves a whole checkpoint."""

import json
import multiprocessing
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from torch.utils.data import BatchSampler
from toy import FAULT, ToyData, write_config

from moganet_dense.cli import main
from moganet_dense.engine.atomic_checkpoint import last_whole
from moganet_dense.engine.job import Job
from moganet_dense.engine.resumable import SeededBatches, SeededDataset, draw_from
from moganet_dense.engine.train import train
from moganet_dense.utils.errors import Stopped, UserError


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Neither the reader of checkpoints nor handlers of signals outlive a test."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in handlers} == handlers


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Trains the toy in a folder, with faults; returns its last checkpoint."""

    def run(folder: str = 'work', faults: dict | None = None, resume=None, skip=0, **options):
        monkeypatch.setenv(FAULT, json.dumps(faults or {}))
        job = Job(write_config(tmp_path, **options), work_dir=str(tmp_path / folder))
        train(job, resume=resume, skip_nonfinite=skip)
        return last(tmp_path / folder)

    return run


def last(work_dir: Path) -> dict:
    path = (work_dir / 'last_checkpoint').read_text()
    return torch.load(path, weights_only=True)


def generators() -> tuple:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def assert_same(found, expected, where: str = '') -> None:
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            assert_same(found[key], expected[key], f'{where}.{key}')
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, f'{where}.{number}')
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    else:
        assert found == expected, where


EXACT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'gradients')


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    'faults, error',
    [
        pytest.param(dict(term=8), Stopped, id='middle'),  # of the second epoch
        # at the end of it, before its checkpoint is due
        pytest.param(dict(term=12), Stopped, id='end', marks=pytest.mark.slow),
        # after it: the epoch's checkpoint is what is left
        pytest.param(dict(crash=13), RuntimeError, id='after', marks=pytest.mark.slow),
        pytest.param(dict(crash=15), RuntimeError, id='later'),  # work is lost and done again
    ],
)
def test_what_was_stopped_continues_exactly(toy, by_epoch, workers, faults, error):
    options = dict(by_epoch=by_epoch, workers=workers)
    expected = toy('whole', **options)
    state = generators()
    with pytest.raises(error):
        toy('stopped', faults=faults, **options)
    found = toy('stopped', resume='auto', **options)
    assert generators() == state
    for part in EXACT:
        assert_same(found[part], expected[part], part)
    for key in ('epoch', 'iter', 'seed'):
        assert found['meta'][key] == expected['meta'][key]
    assert found['meta']['iter'] == 24


def test_gradients_that_were_gathered_are_not_lost(toy, tmp_path):
    options = dict(accumulate=4, by_epoch=False, workers=0)
    expected = toy('whole', **options)
    with pytest.raises(Stopped):
        toy('stopped', faults=dict(int=10), **options)
    assert last(tmp_path / 'stopped')['gradients']
    found = toy('stopped', resume='auto', **options)
    for part in EXACT:
        assert_same(found[part], expected[part], part)


def test_a_seed_that_was_drawn_continues(toy, tmp_path):
    with pytest.raises(Stopped):
        toy('stopped', faults=dict(term=8), seed=None)
    seed = last(tmp_path / 'stopped')['meta']['seed']
    found = toy('stopped', resume='auto', seed=None)
    expected = toy('whole', seed=seed)
    for part in EXACT:
        assert_same(found[part], expected[part], part)


def test_workers_do_not_change_what_is_drawn(toy):
    none, one = toy('none', workers=0), toy('one', workers=1)
    assert_same(none['state_dict'], one['state_dict'])


def test_a_validation_that_was_cut_is_made_up_for(toy, tmp_path, monkeypatch):
    from toy import ToyMetric

    expected = toy('whole')
    compute = ToyMetric.compute_metrics
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        toy('cut')
    monkeypatch.setattr(ToyMetric, 'compute_metrics', compute)
    found = toy('cut', resume='auto')
    for work in (expected, found):
        work['message_hub']['runtime_info'].pop('best_ckpt')
    key = 'best_score'
    assert found['message_hub']['runtime_info'][key] == expected['message_hub']['runtime_info'][key]
    assert_same(found['state_dict'], expected['state_dict'])


def test_old_checkpoints_go_after_the_new_one(toy, tmp_path):
    toy()
    names = sorted(path.name for path in (tmp_path / 'work').glob('*.pth'))
    assert [name for name in names if not name.startswith('best')] == ['epoch_3.pth', 'epoch_4.pth']
    assert len(names) == 3
    assert not list((tmp_path / 'work').glob('.*.part'))


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == 'cut':
        content = content[: len(content) // 2]
    elif how == 'empty':
        content = bytearray()
    else:  # within the numbers of the largest tensor
        numbers = torch.load(path, weights_only=True)['state_dict']['ballast']
        at = content.index(numbers.numpy().tobytes()) + 5
        content[at] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize('how', ['cut', 'empty', 'flipped'])
def test_a_damaged_checkpoint_is_named_and_skipped(how, toy, tmp_path, capfd):
    expected = toy('whole', weight=400)
    with pytest.raises(RuntimeError):
        toy('work', faults=dict(crash=14), weight=400)
    damage(tmp_path / 'work/epoch_2.pth', how)
    assert last_whole(tmp_path / 'work') == str(tmp_path / 'work/epoch_1.pth')
    output = ''.join(capfd.readouterr())
    assert 'skipped' in output and str(tmp_path / 'work' / 'epoch_2.pth') in output
    found = toy('work', resume='auto', weight=400)
    assert_same(found['state_dict'], expected['state_dict'])


def test_when_all_are_damaged_nothing_is_restarted(toy, tmp_path):
    with pytest.raises(RuntimeError):
        toy('work', faults=dict(crash=8))
    damage(tmp_path / 'work/epoch_1.pth', 'cut')
    with pytest.raises(
        UserError, match='no checkpoint in .* can be read; the last one is .*epoch_1'
    ):
        toy('work', resume='auto')


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before_it(toy, tmp_path, full_disk):
    with pytest.raises(RuntimeError):
        toy('work', faults=dict(crash=8), weight=100_000)
    before = (tmp_path / 'work/epoch_1.pth').read_bytes()
    full_disk(len(before) // 2)
    with pytest.raises(UserError, match='cannot write into .*epoch_1.pth is complete') as raised:
        toy('work', resume='auto', weight=100_000)
    full_disk(None)
    assert '\n' not in str(raised.value)
    assert (tmp_path / 'work/epoch_1.pth').read_bytes() == before
    assert not list((tmp_path / 'work').glob('.*.part'))
    expected, found = toy('whole', weight=100_000), toy('work', resume='auto', weight=100_000)
    assert_same(found['state_dict'], expected['state_dict'])


@pytest.mark.parametrize('name', ['term', 'int'])
def test_signals_end_in_a_code_of_their_own(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(FAULT, json.dumps({name: 9}))
    config = str(write_config(tmp_path))
    assert main(['train', config, '--work-dir', str(tmp_path / 'work')]) == 75
    said = capsys.readouterr().err
    assert f'stopped by SIG{name.upper()} after iteration 9; saved' in said and '--resume' in said
    assert last(tmp_path / 'work')['meta']['iter'] == 9


def test_a_loss_that_is_not_finite_stops_before_it_does_harm(toy, tmp_path):
    with pytest.raises(UserError) as raised:
        toy('work', faults=dict(nan=9))
    assert '\n' not in str(raised.value)
    for part in ('iteration 9', 'loss_toy nan', 'images/', str(tmp_path / 'work' / 'epoch_1.pth')):
        assert part in str(raised.value)
    assert str(raised.value).count('.jpg') == 4


def test_so_many_in_a_row_are_skipped(toy):
    found = toy('work', faults=dict(nan=[3, 4, 9]), skip=2)
    for part in ('state_dict', 'ema_state_dict'):
        assert all(torch.isfinite(value).all() for value in found[part].values())
    assert found['meta']['iter'] == 24
    steps = {float(s['step']) for s in found['optimizer']['state'].values()}
    assert steps == {24 - 3}
    with pytest.raises(UserError, match='iteration 5: the loss is not finite'):
        toy('more', faults=dict(nan=[3, 4, 5]), skip=2)


def test_samples_are_drawn_by_place():
    data = SeededDataset(ToyData(5))
    batches = SeededBatches(BatchSampler(range(5), 2, False), 2, shared=False, seed=1)
    all_of_them = [[data[key]['inputs'] for key in batch] for batch in batches]
    batches.start = 2
    (rest,) = [[data[key]['inputs'] for key in batch] for batch in batches]
    assert torch.equal(rest[0], all_of_them[2][0])
    batches.epoch = 1
    (other,) = [[data[key]['inputs'] for key in batch] for batch in batches]
    assert not torch.equal(other[0], rest[0])
    assert len(data) == 5 and data.size == 5
    data.size = 4  # as hooks replace a pipeline
    assert len(data.dataset) == 4


@pytest.mark.slow
def test_places_draw_numbers_that_look_independent():
    found = []
    for place in range(2000):
        draw_from(0, place)
        found.append([random.random(), np.random.rand(), float(torch.rand(()))])
    found = np.array(found)
    assert np.abs(found.mean(0) - 0.5).max() < 4 * np.sqrt(1 / 12 / 2000)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 4 / np.sqrt(2000)
    neighbours = np.corrcoef(found[1:, 0], found[:-1, 0])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(2000)


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
def test_no_loading_process_outlives_a_training(toy, by_epoch):
    before = {*multiprocessing.active_children()}  # of other tests, until they are collected
    toy('whole', workers=1, by_epoch=by_epoch)
    assert {*multiprocessing.active_children()} <= before
    with pytest.raises(RuntimeError):
        toy('crashed', workers=1, by_epoch=by_epoch, faults=dict(crash=8))
    assert {*multiprocessing.active_children()} <= before
