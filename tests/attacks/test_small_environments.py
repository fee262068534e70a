"""Folders that vanish, workers without shared memory: one line, and nothing waits for ever."""

import multiprocessing
import os

import pytest
from mmengine.runner import CheckpointLoader
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.engine.signals import _start_worker


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))


@pytest.mark.parametrize('renamed', [False, True])
def test_a_work_dir_that_vanishes_is_one_line(renamed, tmp_path, capsys):
    config = write_config(tmp_path, length=2)
    text = config.read_text().replace("'toy']", "'toy', 'stop_at']")
    hook = f"custom_hooks += [dict(type='RemoveWorkDir', iteration=8, renamed={renamed})]"
    config.write_text(f'{text}{hook}\n')
    work = tmp_path / 'work'
    assert main(['train', str(config), '--work-dir', str(work)]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert f'cannot write into {work}' in line and 'removed or renamed' in line
    if renamed:
        assert (tmp_path / 'work_renamed' / 'epoch_1.pth').is_file()


class Unsendable:
    def __reduce__(self):
        raise OSError(28, 'No space left on device')  # as storing into a full /dev/shm


def test_a_worker_that_cannot_pass_on_a_batch_ends(tmp_path):
    """Python prints such an error and drops the batch; the parent would wait for ever."""
    context = multiprocessing.get_context('fork')
    queue = context.Queue()

    def work() -> None:
        _start_worker(0)
        queue.put(Unsendable())
        queue.close()
        queue.join_thread()
        os._exit(0)

    process = context.Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode == 1
