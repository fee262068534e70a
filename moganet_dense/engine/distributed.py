"""One training in several processes: how they find each other, who speaks, and how each notices
that another is gone.

A launcher (torchrun, srun, mpirun) starts the processes and says in the environment which is
which. They talk over gloo on CPUs and nccl on GPUs. A process that is killed leaves the others
waiting for it in the middle of a collective, which nccl notices after minutes; so besides, each
of them holds a connection to rank 0, which the system closes when its owner dies.
"""

import os
import secrets
import selectors
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import barrier, broadcast_object_list

from ..utils.errors import Stopped, UserError

ENVIRONMENT = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
"""Variables by which a launcher tells a process its number, how many there are, and its number on
this machine. All need MASTER_ADDR, the machine of rank 0; MASTER_PORT is 29500 if not given."""

TIMEOUT = timedelta(hours=2)
"""For a collective. Rank 0 may compute metrics for long; who is dead is noticed otherwise."""

GRACE = 0.5, 3.0
"""Seconds from an error to its telling, of rank 0 and of others. An error in a collective is most
often that another process is gone, which the lifeline then tells better; one in all processes is
told by rank 0, whose end ends the others."""

_LEFT, _FAILED = b'.', b'!'


@contextmanager
def joined(launcher: str) -> Iterator[None]:
    """Within it this process is one of the group that ``launcher`` started.

    Args:
        launcher: none, pytorch, slurm or mpi.

    Raises:
        UserError: the launcher's environment is not there, or there are too few GPUs.
    """
    if launcher == 'none' or dist.is_initialized():
        yield
        return
    rank = _read_place(launcher)
    with _silenced() if rank else nullcontext():
        dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo', timeout=TIMEOUT)
        lifeline = Lifeline()
        try:
            yield
        except BaseException as error:
            if isinstance(error, Stopped):
                lifeline.leave()
            else:
                lifeline.fail()
            raise
        lifeline.leave()
        dist.destroy_process_group()


def _read_place(launcher: str) -> int:
    """Translates what the launcher put into the environment, takes a GPU; this one's rank."""
    names = ENVIRONMENT[launcher]
    if absent := [name for name in (*names, 'MASTER_ADDR') if name not in os.environ]:
        raise UserError(
            f'--launcher {launcher} expects {", ".join(absent)} in the environment, where the '
            'launcher puts it; start with tools/dist_train.sh, tools/slurm_train.sh or torchrun'
        )
    rank, world, local = (int(os.environ[name]) for name in names)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(local))
    os.environ.setdefault('MASTER_PORT', '29500')
    if gpus := torch.cuda.device_count():
        if local >= gpus:
            raise UserError(
                f'process {local} of this machine has no GPU: there are {gpus}; start at most as '
                'many processes, or none with a GPU (CUDA_VISIBLE_DEVICES=)'
            )
        torch.cuda.set_device(local)
    return rank


@contextmanager
def _silenced() -> Iterator[None]:
    """Within it nothing reaches the screen but errors; see also :func:`speak_into`."""
    sys.stdout.flush()
    screen = os.dup(1)
    with open(os.devnull, 'w') as nothing:
        os.dup2(nothing.fileno(), 1)
    show = warnings.showwarning
    warnings.showwarning = lambda *what: print(warnings.formatwarning(*what[:4]))
    try:
        yield
    finally:
        warnings.showwarning = show
        sys.stdout.flush()
        os.dup2(screen, 1)
        os.close(screen)


@contextmanager
def main_first() -> Iterator[None]:
    """The first process of each machine does what is within before the others there do."""
    first = int(os.environ.get('LOCAL_RANK', 0)) == 0
    if not first:
        barrier()
    yield
    if first:
        barrier()


def speak_into(path: str | os.PathLike) -> None:
    """From now on what this process prints goes to a file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    with open(path, 'a') as file:
        os.dup2(file.fileno(), 1)


class Lifeline:
    """Ends this process when another ends before its time.

    Every rank is connected to rank 0. One that leaves in order says so, and one that fails says
    that it tells its error itself. Where a connection closes without a word, rank 0 (or 1, where
    it was rank 0) tells whose; all others end.
    """

    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        people = [None] * self.world
        dist.all_gather_object(people, f'process {os.getpid()} on {socket.gethostname()}')
        self.people, self.peers = people, self._connect()
        os.register_at_fork(after_in_child=self._let_go)
        self.open = True
        self.thread = threading.Thread(target=self._watch, daemon=True, name='lifeline')
        self.thread.start()

    def _connect(self) -> dict[int, socket.socket]:
        """Sockets by rank: rank 0's to all, the others' to rank 0."""
        if self.rank == 0:
            door = socket.create_server(('', 0), backlog=self.world)
            place = [(door.getsockname()[1], secrets.token_hex(8))]
            broadcast_object_list(place)
            with door:
                return dict(self._let_in(door, place[0][1]) for _ in range(self.world - 1))
        place = [None]
        broadcast_object_list(place)
        port, token = place[0]
        peer = socket.create_connection((os.environ['MASTER_ADDR'], port), timeout=60)
        peer.sendall(f'{token}{self.rank:8d}'.encode())
        peer.settimeout(None)
        return {0: peer}

    def _let_in(self, door: socket.socket, token: str) -> tuple[int, socket.socket]:
        door.settimeout(60)
        while True:
            peer, _ = door.accept()
            peer.settimeout(10)
            hello = peer.recv(24, socket.MSG_WAITALL).decode(errors='replace')
            if hello.startswith(token):
                peer.settimeout(None)
                return int(hello[len(token) :]), peer
            peer.close()

    def _let_go(self) -> None:
        """In a loader's process: it must not keep the connection open for its dead parent."""
        for peer in self.peers.values():
            peer.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for rank, peer in self.peers.items():
                waiting.register(peer, selectors.EVENT_READ, rank)
            while waiting.get_map():
                for key, _ in waiting.select():
                    try:
                        word = key.fileobj.recv(1)
                    except OSError:
                        word = b''
                    if word == _LEFT:
                        waiting.unregister(key.fileobj)
                    elif self.open:
                        self._end(key.data, told=word == _FAILED)
                    else:
                        return

    def _end(self, lost: int, told: bool) -> None:
        """Ends this process at once, after one of them has said why."""
        if not told and self.rank in (0, lost + 1):
            print(
                f'error: rank {lost} of {self.world} ({self.people[lost]}) has ended without a '
                'word, as if killed or for want of memory; this job ends too; go on with --resume',
                file=sys.stderr,
                flush=True,
            )
        self._say(_FAILED)
        sys.stdout.flush()
        os._exit(1)

    def _say(self, word: bytes) -> None:
        for peer in self.peers.values():
            with suppress(OSError):  # it has ended before
                peer.sendall(word)

    def leave(self) -> None:
        """In order: the others do not mind."""
        self.open = False
        self._say(_LEFT)

    def fail(self) -> None:
        """With an error, which this process tells unless another's end proves to be its cause."""
        time.sleep(GRACE[self.rank > 0])
        self.open = False
        self._say(_FAILED)
