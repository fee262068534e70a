"""Kills a process of two at each stage of a training and looks at what becomes of the job:

    python tests/distributed/faults.py

Prints a line of JSON for each fault: seconds until all others had ended, what was said, processes
left behind 30 s after, and the largest difference of weights after --resume in two processes
(against a training that nobody killed), and whether it also resumes in one and in three.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from cheap import prepare_forks
from group import Group
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.utils import register_all_modules
from toy import write_config

from moganet_dense.engine.atomic_checkpoint import POINTER, read_training
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import train
from moganet_dense.utils.errors import UserError

HANGING = 300  # seconds after which the others do not end by themselves
KILLED = 'killed'  # a file that a process leaves right before it kills itself
FAULTS = [
    ('training', 'after_train_iter', 1),
    ('training', 'after_train_iter', 0),
    ('evaluation', 'after_val_iter', 1),
    ('checkpoint, beside who writes', 'agree_before_saving', 1),
    ('checkpoint, who writes', 'before_save_checkpoint', 0),
]


@HOOKS.register_module()
class Killer(Hook):
    """Kills its process with SIGKILL, once.

    Args:
        stage: method of a hook in which it does.
        rank: of the process.
        start: iteration from which on.
    """

    priority = 'HIGH'

    def __init__(self, stage: str, rank: int, start: int = 4) -> None:
        self.rank, self.start = rank, start
        setattr(self, stage, self._kill)

    def _kill(self, runner, *args, **options) -> None:
        note = Path(runner.work_dir, KILLED)
        if runner.rank == self.rank and runner.iter >= self.start and not note.exists():
            note.write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)


def trained(config: Path, work_dir: Path, world: int, resume: str | None) -> None:
    """What a process of the training runs."""
    launcher = 'none' if world == 1 else 'pytorch'
    changed = resume is not None and world != 2
    job = Job(config, str(work_dir), (), launcher)
    try:
        train(job, resume=resume, accept_changes=changed)
    except UserError as error:  # as the command line does
        print(f'error: {error}', file=sys.stderr)
        sys.exit(1)


def start(config: Path, work_dir: Path, world: int, resume: str | None = None) -> Group:
    name = f'{work_dir.name}_{world}_{resume}'
    work = partial(trained, config, work_dir, world, resume)
    return Group(world, work, work_dir.parent / 'logs' / name)


def killed_config(folder: Path, stage: str, rank: int) -> Path:
    """The toy training, with a loader's process and a hook that kills."""
    config = write_config(folder, workers=1)
    with open(config, 'a') as file:
        file.write(f"custom_hooks += [dict(type='Killer', stage={stage!r}, rank={rank})]\n")
    return config


def try_fault(
    folder: Path, what: str, stage: str, rank: int, expected: dict, others: tuple[int, ...]
) -> dict:
    """Kills, then resumes in two processes, and copies in other numbers of them."""
    folder.mkdir()
    work_dir = folder / 'work'
    config = killed_config(folder, stage, rank)
    group = start(config, work_dir, 2)
    codes = group.codes(HANGING)
    ended = time.time() - float((work_dir / KILLED).read_text())
    other = (group.folder / f'log{1 - rank}').read_text()
    said = [line for line in other.splitlines() if line.startswith('error:')]
    left = group.left_after(30)
    for world in others:
        copy = folder / f'copy{world}'
        shutil.copytree(work_dir, copy)
        start(config, copy, world, 'auto').results()
    start(config, work_dir, 2, 'auto').results()
    copies = [folder / f'copy{world}' for world in others]
    return dict(
        killed=what, rank=rank, codes=codes, seconds=round(ended, 2), said=said, left=left,
        difference=largest_difference(last(work_dir), expected),
        iterations=[last(copy)['meta']['iter'] for copy in copies],
    )  # fmt: skip


def last(work_dir: Path) -> dict:
    """The last checkpoint of a folder."""
    return read_training(work_dir / Path((work_dir / POINTER).read_text()).name)


def largest_difference(found: dict, expected: dict) -> float:
    a, b = found['state_dict'], expected['state_dict']
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in b)


def main() -> int:
    quick = '--quick' in sys.argv  # three of the faults
    if quick:
        importlib.import_module('quick_loaders')
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=False)  # once, for all that are forked
    prepare_forks()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = write_config(folder, workers=1)
        start(config, folder / 'whole', 2).results()
        expected = last(folder / 'whole')
        for number, fault in enumerate(FAULTS[::2] if quick else FAULTS):
            others = () if quick and number else (1,) if quick else (1, 3)
            found = try_fault(folder / str(number), *fault, expected, others)
            print(json.dumps(found), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
