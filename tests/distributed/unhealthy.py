"""Groups of processes that cannot train: each ends soon, with a line that says why.

    python tests/distributed/unhealthy.py

Prints a line of JSON for each: exit codes, seconds until the last one had ended, what was said.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from group import Group
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from toy import write_config

from moganet_dense.cli import main as command_line
from moganet_dense.engine.distributed import JOIN_TIMEOUT


@HOOKS.register_module()
class Freezer(Hook):
    """Stops the process of rank 1 at the fourth iteration, as a frozen machine would."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.rank == 1 and runner.iter == 3:
            Path(runner.work_dir, 'frozen').write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)


def trained(configs: list[Path], work_dir: Path) -> None:
    """What a process runs, by its rank; one without a config does not come."""
    config = configs[int(os.environ['RANK'])]
    if config is not None:
        options = ['--launcher', 'pytorch', '--work-dir', str(work_dir)]
        sys.exit(command_line(['train', str(config), *options]))


def tried(folder: Path, configs: list, **environment: str) -> dict:
    """Starts a group of two and waits for rank 0; the other one is killed 30 s later."""
    start = time.monotonic()
    group = Group(2, partial(trained, configs, folder / 'work'), folder, **environment)
    first = os.waitstatus_to_exitcode(os.waitpid(group.children[0], 0)[1])
    if (frozen := folder / 'work' / 'frozen').exists():
        os.kill(int(frozen.read_text()), signal.SIGKILL)  # as a launcher would
    second = os.waitstatus_to_exitcode(os.waitpid(group.children[1], 0)[1])
    said = [
        line
        for rank in range(2)
        for line in (folder / f'log{rank}').read_text().splitlines()
        if 'error: ' in line
    ]
    seconds = round(time.monotonic() - start, 1)
    return dict(codes=[first, second], seconds=seconds, said=said)


def main() -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ('absent', 'port', 'data', 'frozen')]
        for folder in folders:
            folder.mkdir()
        config = write_config(folders[0], length=40)
        other = write_config(folders[2], length=40)
        text = other.read_text().replace("dict(type='ToyData')", "dict(type='ToyData', size=9)")
        other.write_text(text)
        freezing = write_config(folders[3], length=4000)
        with open(freezing, 'a') as file:
            file.write("custom_hooks += [dict(type='Freezer')]\n")
        short = {JOIN_TIMEOUT: '5'}
        print(json.dumps({'absent': tried(folders[0], [config, None], **short)}), flush=True)
        with socket.create_server(('127.0.0.1', 0)) as taken:
            port = str(taken.getsockname()[1])
            found = tried(folders[1], [config, config], MASTER_PORT=port, **short)
        print(json.dumps({'port': found}), flush=True)
        print(json.dumps({'data': tried(folders[2], [config, other])}), flush=True)
        print(json.dumps({'frozen': tried(folders[3], [freezing, freezing])}), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
