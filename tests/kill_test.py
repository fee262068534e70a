"""Kills a training repeatedly with SIGKILL and compares the result with an undisturbed training:
``python tests/kill_test.py --kills 300``.

The toolboxes are imported once, in a parent; every training is a fork of it. Every second kill
waits until a file is being written (there is a temporary file in the folder) and then kills at once
or after a random time; the others kill at a random time. After each kill the last checkpoint has to
be complete and not older than the one before. At the end the weights have to be bitwise identical
to those of a training that was not killed.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from cheap import prepare_forks
from mmpretrain.utils import register_all_modules
from toy import write_config

from moganet_dense.engine.atomic_checkpoint import POINTER, read_training
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import train
from moganet_dense.utils.errors import UserError

WEIGHT = 1_000_000  # numbers in the model: 4 MB, 16 MB a checkpoint: a write takes a while


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: that struck a training.
        in_write: of them, while a draft lay in the folder.
        lost: what should not be.
    """

    kills: int = 0
    in_write: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f'{self.kills} kills, {self.in_write} during a write, {len(self.lost)} lost'


def kill_often(folder: Path, kills: int, by_epoch: bool, length: int, seed: int) -> Tally:
    """Trains ``length`` epochs again and again, killed on the way, until ``kills`` have struck."""
    dice, tally = random.Random(seed), Tally()
    config = write_config(folder, by_epoch=by_epoch, weight=WEIGHT, length=length, val=5)
    whole = folder / 'whole'
    os.waitpid(_fork(config, whole), 0)
    expected = read_training((whole / POINTER).read_text())
    while tally.kills < kills:
        work_dir, reached, ended = folder / f'work{tally.kills}', 0, False
        while tally.kills < kills and not ended:
            ended = _strike(_fork(config, work_dir), work_dir, tally, dice)
            if (work_dir / POINTER).is_file():
                reached = _check(work_dir, reached, tally)
        if os.waitpid(_fork(config, work_dir), 0)[1]:
            tally.lost.append('a training that nobody killed failed')
            break
        _compare(read_training((work_dir / POINTER).read_text()), expected, tally)
        shutil.rmtree(work_dir)
    return tally


def _compare(found: dict, expected: dict, tally: Tally) -> None:
    if found['meta']['iter'] != expected['meta']['iter']:
        tally.lost.append(f'ended at iteration {found["meta"]["iter"]}')
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in expected[part].items():
            if not torch.equal(found[part][name], value):
                tally.lost.append(f'{part}.{name} differs')


def _fork(config: Path, work_dir: Path) -> int:
    """Starts or resumes the training in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(work_dir.parent / 'log', 'a') as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        train(Job(config, work_dir=str(work_dir)), resume='auto')
        code = 0
    finally:
        os._exit(code)


def _strike(child: int, work_dir: Path, tally: Tally, dice: random.Random) -> bool:
    """Kills the child, which counts if it lives; whether it ended by itself."""
    if tally.kills % 2:
        while not _writing(work_dir) and not _ended(child):
            time.sleep(0.0002)
        time.sleep(dice.choice([0, dice.uniform(0, 0.03)]))
    else:
        time.sleep(dice.uniform(0.1, 1.5))
    os.kill(child, signal.SIGSTOP)  # so that what is counted is what is killed
    writing = _writing(work_dir)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGKILL:
        tally.kills += 1
        tally.in_write += writing
    elif code:
        tally.kills += 1
        tally.lost.append(f'a training that was resumed ended with {code}')
    return code == 0


def _ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _writing(work_dir: Path) -> bool:
    return work_dir.is_dir() and any(name.endswith('.part') for name in os.listdir(work_dir))


def _check(work_dir: Path, reached: int, tally: Tally) -> int:
    """Iteration of the last checkpoint, which has to be whole and not older than before."""
    path = (work_dir / POINTER).read_text()
    try:
        found = read_training(path)['meta']['iter']
    except (UserError, OSError) as error:
        tally.lost.append(str(error))
        return reached
    if found < reached:
        tally.lost.append(f'{path} is of iteration {found}, the one before of {reached}')
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--loop', choices=['epochs', 'iterations'], default='epochs')
    parser.add_argument(
        '--epochs', type=int, default=40, help='of 6 iterations, a checkpoint after each'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    register_all_modules(init_default_scope=False)  # once, for all that are forked
    prepare_forks()
    with tempfile.TemporaryDirectory() as folder:
        by_epoch = args.loop == 'epochs'
        tally = kill_often(Path(folder), args.kills, by_epoch, args.epochs, args.seed)
    print(tally, *tally.lost, sep='\n')
    return bool(tally.lost)


if __name__ == '__main__':
    sys.exit(main())
