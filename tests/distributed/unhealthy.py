"""Groups of processes that cannot train: each ends soon, with a line that says why.

    python tests/distributed/unhealthy.py [--quick] [NAME ...]

Prints a line of JSON for each: exit codes, seconds from the fault until the last one had ended,
what was said, and which processes were left 30 seconds after. With --quick a rank is taken for
gone after 4 seconds, not 16.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from cheap import prepare_forks
from group import Group
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.utils import register_all_modules
from toy import write_config

from moganet_dense.cli import main as command_line
from moganet_dense.engine import watcher
from moganet_dense.engine.distributed import JOIN_TIMEOUT

FAULT = 'fault'  # a file that tells when it happened


@HOOKS.register_module()
class Freezer(Hook):
    """Stops a process once, as a frozen machine would.

    Args:
        stage: method of a hook in which it does.
        rank: of the process.
        group: whether all of its group of processes are stopped, its watcher, too.
    """

    priority = 'LOW'

    def __init__(self, stage: str, rank: int, group: bool = False) -> None:
        self.rank, self.group = rank, group
        setattr(self, stage, self._freeze)

    def _freeze(self, runner, *args, **options) -> None:
        note = Path(runner.work_dir, FAULT)
        if runner.rank == self.rank and runner.iter >= 3 and not note.exists():
            note.write_text(str(time.time()))
            (os.killpg if self.group else os.kill)(os.getpid(), signal.SIGSTOP)


@HOOKS.register_module()
class Holder(Hook):
    """Keeps all other threads of a process waiting for 20 seconds, as code in C++ does."""

    def before_val(self, runner) -> None:
        if runner.rank == 1 and runner.iter == 6:
            import ctypes

            ctypes.PyDLL(None).sleep(20)  # with the interpreter's lock


@HOOKS.register_module()
class Stranger(Hook):
    """Connects to all ports of this process and of the store, and says what no peer would."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.rank == 0 and runner.iter == 3:
            ports = {*listening(), int(os.environ['MASTER_PORT'])}
            for port in ports:
                for said in (b'', b'GET / HTTP/1.0\r\n\r\n', b'\xff' * 100_000):
                    visit(port, said)
            Path(runner.work_dir, 'visited').write_text(str(len(ports)))


def visit(port: int, said: bytes) -> None:
    """Connects, says something, and leaves the connection open."""
    try:
        VISITS.append(visitor := socket.create_connection(('127.0.0.1', port), timeout=5))
        visitor.sendall(said)
    except OSError:
        pass


VISITS: list[socket.socket] = []


def listening() -> list[int]:
    """Ports at which this process listens."""
    own = {os.readlink(x) for x in Path('/proc/self/fd').iterdir() if x.is_symlink()}
    found = []
    for table in ('tcp', 'tcp6'):
        for line in Path('/proc/net', table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == '0A' and f'socket:[{words[9]}]' in own:
                found.append(int(words[1].rpartition(':')[2], 16))
    return found


def trained(configs: list[Path], work_dir: Path) -> None:
    """What a process runs, by its rank; one without a config does not come."""
    config = configs[int(os.environ['RANK'])]
    if config is not None:
        options = ['--launcher', 'pytorch', '--work-dir', str(work_dir)]
        sys.exit(command_line(['train', str(config), *options]))


def tried(
    folder: Path, configs: list, at_once: Callable[[Group], None] | None = None, **environment: str
) -> dict:
    """Starts a group of two and waits for both; after 60 s they are killed."""
    start = time.time()
    group = Group(2, partial(trained, configs, folder / 'work'), folder, **environment)
    if at_once:
        at_once(group)
    codes = ended(group, start + 240)
    seconds = time.time()
    if (note := folder / 'work' / FAULT).exists():
        start = float(note.read_text())
    said = [
        line
        for rank in range(2)
        for line in (folder / f'log{rank}').read_text().splitlines()
        if 'error: ' in line or line.startswith('Traceback')
    ]
    left = group.left_after(30)
    return dict(codes=codes, seconds=round(seconds - start, 1), said=said, left=left)


def ended(group: Group, end: float) -> list[int | None]:
    """Exit codes; None of a process that had to be killed.

    As torchrun, srun and mpirun do, it ends the others when one has ended with an error: but 30
    seconds later, so that those that end by themselves are seen to.
    """
    codes: dict[int, int | None] = {}
    while len(codes) < len(group.children):
        for child in set(group.children) - set(codes):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                codes[child] = os.waitstatus_to_exitcode(status)
                end = min(end, time.time() + 30) if codes[child] else end
            elif time.time() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                codes[child] = None
        time.sleep(0.05)
    return [codes[child] for child in group.children]


def config_of(folder: Path, hook: str = '', change: tuple[str, str] = ('', ''), **options) -> Path:
    folder.mkdir(exist_ok=True)
    config = write_config(folder, **options)
    more = f'custom_hooks += [dict({hook})]\n' if hook else ''
    config.write_text(config.read_text().replace(*change) + more)
    return config


def both(folder: Path, hook: str, **options) -> dict:
    return tried(folder, [config_of(folder, hook, **options)] * 2)


def frozen(stage: str, rank: int, group: bool = False, folder: Path | None = None) -> dict:
    return both(folder, f"type='Freezer', stage={stage!r}, rank={rank}, group={group}", length=4000)


def absent(folder: Path) -> dict:
    return tried(folder, [config_of(folder), None])


def port(folder: Path) -> dict:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        place = dict(MASTER_PORT=str(taken.getsockname()[1]))
        return tried(folder, [config_of(folder)] * 2, **place, **{JOIN_TIMEOUT: '5'})


def data(folder: Path) -> dict:
    other = ("dict(type='ToyData')", "dict(type='ToyData', size=9)")
    return tried(folder, [config_of(folder), config_of(folder / 'other', change=other)])


def suspended(folder: Path) -> dict:
    """Both ranks and their watchers, as by a scheduler, for longer than a rank may be silent."""

    def suspend(group: Group) -> None:
        while not list((folder / 'work').glob('*.pth')):
            time.sleep(0.1)
        for number, wait in ((signal.SIGSTOP, 20), (signal.SIGCONT, 0)):
            for child in group.children:
                os.killpg(child, number)
            time.sleep(wait)

    return tried(folder, [config_of(folder, length=400)] * 2, at_once=suspend)


FAULTS: dict[str, Callable[[Path], dict]] = dict(
    absent=absent,
    port=port,
    data=data,
    frozen=lambda folder: frozen('before_train_iter', 1, folder=folder),
    frozen_first=lambda folder: frozen('before_train_iter', 0, folder=folder),
    frozen_machine=lambda folder: frozen('before_train_iter', 1, group=True, folder=folder),
    frozen_in_evaluation=lambda folder: frozen('before_val_iter', 1, folder=folder),
    frozen_in_a_write=lambda folder: frozen('before_save_checkpoint', 0, folder=folder),
    held=lambda folder: both(folder, "type='Holder'", length=2),
    stranger=lambda folder: both(folder, "type='Stranger'", length=2),
    suspended=suspended,
)


def main() -> int:
    torch.set_num_threads(1)
    names = [name for name in sys.argv[1:] if name != '--quick']
    if len(names) < len(sys.argv) - 1:
        watcher.BEAT, watcher.MISSED, watcher.GRACE = 0.5, 4.0, 2.0
    register_all_modules(init_default_scope=False)  # once, for all that are forked
    prepare_forks()
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or FAULTS:
            (folder := Path(scratch, name)).mkdir()
            print(json.dumps({name: FAULTS[name](folder)}), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
