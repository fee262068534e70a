"""Several processes: the numbers of one, and the end of all when one is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from faults import killed_config
from forked import run_script

from moganet_dense.cli import main
from moganet_dense.engine import distributed
from moganet_dense.engine.fsdp import fully_shard
from moganet_dense.engine.runner import DenseRunner
from moganet_dense.utils.errors import Interrupted, UserError, one_line
from moganet_dense.utils.interrupts import ending_by_signals

HERE = Path(__file__).parent


def environment() -> dict[str, str]:
    own = filter(None, [os.environ.get('PYTHONPATH')])  # an empty one would be the current folder
    path = [*map(str, (ROOT, HERE.parent, HERE)), *own]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(path), 'PYTHON': sys.executable}


def lines_of(script: str, *arguments: str, folder: Path | None = None) -> list[dict]:
    """The JSON that a script of this folder prints."""
    done = run_script(HERE / script, *arguments, folder=folder)
    assert done.code == 0, done.out + done.err[-5000:]
    return [json.loads(line) for line in done.out.splitlines() if line.startswith('{')]


@pytest.fixture(scope='module')
def compared(mini, tmp_path_factory) -> dict[str, list]:
    """What several processes differ by from one: two per task in training, three in testing."""
    folder = tmp_path_factory.mktemp('compared')
    (folder / 'data').mkdir()
    (folder / 'data' / 'mini').symlink_to(mini)
    found = {}
    for which in (['det', 'mask', 'pose'], ['seg', '--part', 'testing']):
        for line in lines_of('equality.py', '--quick', *which, folder=folder):
            for task, result in line.items():
                found.setdefault(task, []).append(result)
    return found


def assert_equal(training: dict[str, float]) -> None:
    assert training['loss'] <= 1e-5 and training['weight'] <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('task', ['det', 'pose'])
def test_two_processes_train_as_one(compared, task):
    assert_equal(compared[task][0]['training'])


@pytest.mark.long
def test_two_processes_train_a_segmentor_as_one(workspace):
    (found,) = lines_of('equality.py', '--quick', 'seg', '--part', 'training')
    assert_equal(found['seg']['training'])


@pytest.mark.slow
@pytest.mark.skipif(fully_shard is None, reason='torch before 2.6')
@pytest.mark.parametrize('resumed', ['sharded', 'whole'])
def test_sharded_training_equals_ddp_and_resumes(compared, resumed):
    assert compared['pose'][0][resumed]['loss'] <= 1e-4
    assert compared['pose'][0][resumed]['weight'] <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('task', ['mask', 'seg', 'pose'])
def test_images_that_three_processes_cannot_share_evenly_score_the_same(compared, task):
    one, *others = compared[task][-1]
    assert others == [one]
    assert max(one.values()) > 0.05


@pytest.mark.slow
def test_a_killed_process_ends_the_job_and_resuming_continues():
    for found in lines_of('faults.py', '--quick'):
        assert sorted(found['codes']) == [-9, 1] and found['left'] == 0, found
        assert f'rank {found["rank"]} of 2' in found['said'][0]
        assert found['difference'] == 0


@pytest.fixture(scope='module')
def unhealthy() -> dict[str, dict]:
    return {k: v for line in lines_of('unhealthy.py') for k, v in line.items()}


@pytest.mark.long
@pytest.mark.parametrize(
    ('what', 'said', 'codes'),
    [
        ('absent', 'rank 1 of 2 did not join within 25 s', [1, 0]),
        ('port', 'is in use on this machine', [1, 1]),
        ('data', 'rank 1 of 2 has another config than rank 0', [1, 1]),
        ('frozen', 'rank 1 of 2 (process', [1, -9]),
        ('frozen_first', 'rank 0 of 2 has', [-9, 1]),
        ('frozen_machine', 'rank 1 of 2 (process', [1, None]),
        ('frozen_in_evaluation', 'rank 1 of 2 (process', [1, -9]),
        ('frozen_in_a_write', 'rank 0 of 2 has', [-9, 1]),
    ],
)
def test_a_group_that_cannot_train_ends_with_a_line(unhealthy, what, said, codes):
    found = unhealthy[what]
    assert found['codes'] == codes and found['left'] == 0
    assert said in found['said'][0]
    if what == 'frozen_in_evaluation':
        assert 'has not responded for 16 s' in found['said'][0]


@pytest.mark.long
@pytest.mark.parametrize('what', ['held', 'stranger', 'suspended'])
def test_a_group_is_not_ended_by_mistake(unhealthy, what):
    assert unhealthy[what]['codes'] == [0, 0] and unhealthy[what]['said'] == []


@pytest.mark.slow
def test_a_rank_that_is_frozen_in_evaluation_is_named():
    (found,) = lines_of('unhealthy.py', '--quick', 'frozen_in_evaluation')
    found = found['frozen_in_evaluation']
    assert found['codes'] == [1, -9] and found['left'] == 0
    (line,) = found['said']
    assert line.startswith('error: rank 1 of 2 (process') and 'has not responded for 4 s' in line


@pytest.mark.slow
def test_torchrun_ends_with_a_child_and_one_rank_speaks(tmp_path):
    config = killed_config(tmp_path, 'after_train_iter', 1)
    text = config.read_text().replace("'toy']", "'toy', 'faults', 'quick_loaders']")
    config.write_text(text.replace("'WARNING'", "'INFO'").replace('interval=100', 'interval=1'))
    work_dir = tmp_path / 'work'
    done = subprocess.run(
        ['bash', ROOT / 'tools/dist_train.sh', config, '2', '--work-dir', work_dir],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**environment(), distributed.JOIN_TIMEOUT: '300'},  # imports on a busy machine
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode
    assert 'error: rank 1 of 2' in said and 'SIGKILL' in said
    assert len(re.findall(r'epoch 1/\d+ 1/3 ', said)) == 1
    for rank in range(2):
        (log,) = work_dir.rglob(f'*rank{rank}.log')
        assert 'Epoch(train)' in log.read_text()


class LostPeer:
    """A watcher that knows who has ended, and a launcher that sends SIGTERM meanwhile."""

    def gone(self) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return 'rank 1 of 2'


def raise_in_clean_up():
    try:
        raise RuntimeError('[gloo/pair.cc:534] Connection closed by peer')
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def raise_while_building():
    with one_line('the config cannot be built'):
        raise RuntimeError('[gloo/pair.cc:534] Connection closed by peer')


@pytest.mark.parametrize('fails', [raise_in_clean_up, raise_while_building])
def test_who_has_ended_is_named_whenever_the_signal_of_the_launcher_comes(monkeypatch, fails):
    monkeypatch.setattr(distributed, '_watches', [LostPeer()])
    named = pytest.raises(UserError, match='^rank 1 of 2 has ended')
    with named, ending_by_signals(), distributed.joined('none'):
        fails()


def test_a_signal_alone_is_not_taken_for_a_lost_process(monkeypatch):
    monkeypatch.setattr(distributed, '_watches', [LostPeer()])
    with pytest.raises(Interrupted), ending_by_signals(), distributed.joined('none'):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_fork_lets_other_threads_run_first(monkeypatch):
    """Python before 3.12: they may hold the lock that the child would wait for."""
    registered = []
    monkeypatch.setattr(os, 'register_at_fork', lambda before: registered.append(before))
    distributed._let_collectives_end_before_forks()
    if sys.version_info >= (3, 12):
        assert not registered
        return
    slept = []
    monkeypatch.setattr(time, 'sleep', slept.append)  # which lets them run
    registered[0]()
    assert slept == [distributed.QUIET] and distributed.QUIET > 0


@pytest.mark.parametrize(('gathered', 'expected'), [(1, 0.5), (4, 2.0)])
def test_the_rate_follows_the_images_of_a_step(gathered, expected):
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=8), logger=SimpleNamespace(info=lambda text: None)
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    wrapper = SimpleNamespace(_accumulative_counts=gathered, optimizer=optimizer)
    DenseRunner.scale_lr(runner, wrapper, dict(enable=True, base_batch_size=16))
    assert optimizer.param_groups[0]['lr'] == expected


@pytest.mark.parametrize(('launcher', 'name'), [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID')])
def test_a_launcher_that_is_not_there_is_one_line(monkeypatch, capsys, launcher, name):
    monkeypatch.delenv(name, raising=False)
    assert main(['train', 'cls/moganet_xt.py', '--launcher', launcher]) == 1
    assert f'--launcher {launcher} expects {name}' in capsys.readouterr().err


@pytest.mark.skipif(fully_shard is None, reason='torch before 2.6')
def test_sharding_one_process_is_one_line(tmp_path, capsys):
    from toy import write_config

    config = write_config(tmp_path)
    assert main(['train', str(config), '--fsdp', '--work-dir', str(tmp_path / 'w')]) == 1
    assert 'tools/dist_train.sh' in capsys.readouterr().err
