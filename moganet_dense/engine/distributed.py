"""One training in several processes: process group, logging of rank 0, and termination.

A launcher (torchrun, srun, mpirun) starts the processes and sets their ranks in the environment.
They communicate over gloo on CPUs and nccl on GPUs. A launcher stops the others when one of its
processes ends with an error. It does not detect a process that is frozen, or waits for one that
never started; heartbeats do: each process updates a key in the store of the group every few
seconds, and rank 0 reports the processes that stopped.
"""

import atexit
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import barrier
from mmengine.hooks import Hook

from ..utils.errors import UserError, reason_of

ENVIRONMENT = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
"""Environment variables of each launcher: rank, world size and local rank. All need MASTER_ADDR,
the machine of rank 0; the default of MASTER_PORT is 29500."""

TIMEOUT = timedelta(hours=2)
"""Time limit of a collective. Rank 0 may compute metrics for long; heartbeats detect lost ranks."""

JOIN_TIMEOUT = 'MOGANET_JOIN_TIMEOUT'
"""Environment variable: seconds that a process waits for the others to join."""
JOIN_SECONDS = 25
BEAT, MISSED = 2.0, 16.0
"""Seconds between two heartbeats, and seconds without one after which a process counts as lost."""
ASK = 2.0
"""Seconds in which all remaining processes notice that a collective has failed."""
_RESTS = 'rests'


def join(launcher: str) -> None:
    """Joins the process group that ``launcher`` started.

    Args:
        launcher: none, pytorch, slurm or mpi.

    Raises:
        UserError: the environment of the launcher is missing, there are too few GPUs, the port is
            in use, or a process does not join.
    """
    if launcher == 'none' or dist.is_initialized():
        return
    rank, world = _read_place(launcher)
    if rank:
        _silence()
    store = _store(rank, is_master=rank == 0)
    _meet(store, rank, world)
    backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    group = dist.PrefixStore('group', store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=world, timeout=TIMEOUT)
    _HEART.start(rank, world)


def require_same(facts: dict[str, str]) -> None:
    """Checks that all processes have the same code, config and data.

    Args:
        facts: descriptions of this process, by topic.

    Raises:
        UserError: in rank 0, if the facts of another rank differ.
        SystemExit: in the other ranks.
    """
    everyone: list[dict[str, str]] = [{}] * dist.get_world_size()
    dist.all_gather_object(everyone, facts)
    for rank, theirs in enumerate(everyone):
        other = [k for k in everyone[0] if theirs.get(k) != everyone[0][k]]
        if other and dist.get_rank():
            sys.exit(1)
        if other:
            name = other[0]
            raise UserError(
                f'rank {rank} of {len(everyone)} has another {name} than rank 0: '
                f'{theirs.get(name)}, expected {everyone[0][name]}; make them the same on all '
                'machines'
            )


def leave() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        _HEART.stop()
        dist.destroy_process_group()


@contextmanager
def joined(launcher: str) -> Iterator[None]:
    """Context in which this process is a member of a group, see :func:`join`.

    Raises:
        UserError: another process has ended; replaces the error of the backend.
        RuntimeError: any other error.
    """
    before = dist.is_initialized()
    try:
        join(launcher)
        yield
    except RuntimeError as error:
        if launcher == 'none' or not _is_lost_peer(error):
            raise
        raise UserError(
            f'{_HEART.gone()} has ended, killed or by an error; this job stops; continue '
            'with --resume'
        ) from error
    if not before:
        leave()


def _is_lost_peer(error: RuntimeError) -> bool:
    words = ('Connection closed by peer', 'Connection reset by peer', 'NCCL', 'gloo', 'Broken pipe')
    return any(word in str(error) for word in words)


def _read_place(launcher: str) -> tuple[int, int]:
    """Reads the environment of the launcher and selects a GPU; returns rank and world size."""
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
    return rank, world


def _seconds_to_join() -> float:
    return float(os.environ.get(JOIN_TIMEOUT, JOIN_SECONDS))


def _store(rank: int, is_master: bool) -> dist.Store:
    """The key-value store at rank 0, or at torchrun, by which a group is formed."""
    address, port = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
    hosted = os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'
    seconds = _seconds_to_join()
    try:
        store = _within(
            seconds + 2,
            lambda: dist.TCPStore(
                address, port, is_master=is_master and not hosted,
                timeout=timedelta(seconds=seconds), wait_for_workers=False,
            ),
        )  # fmt: skip
    except (RuntimeError, ValueError, OSError) as error:
        reason = reason_of(error)
        if 'EADDRINUSE' in reason or 'in use' in reason:
            raise UserError(
                f'MASTER_PORT {port} is in use on this machine, possibly by another training; '
                'choose another one'
            ) from None
        raise UserError(
            f'rank {rank} cannot reach rank 0 at {address}:{port} within {seconds:g} s: is it '
            f'started, and the port open? ({reason[:120]})'
        ) from None
    if not hosted:
        return store
    return dist.PrefixStore(f'moganet/{os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)}', store)


def _within(seconds: float, make: Callable[[], dist.Store]) -> dist.Store:
    """The result of ``make``, which blocks forever if another program listens on the port.

    Raises:
        TimeoutError: it took longer.
    """
    made: list[Any] = []

    def work() -> None:
        try:
            made.append(make())
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not made:
        raise TimeoutError('no answer')
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


def _meet(store: dist.Store, rank: int, world: int) -> None:
    """Waits until all processes have joined.

    Raises:
        UserError: in rank 0, names the missing ranks.
    """
    store.set(f'here/{rank}', f'process {os.getpid()} on {socket.gethostname()}')
    end = time.monotonic() + _seconds_to_join() + (2 if rank else 0)  # rank 0 reports it first
    wanted = [f'here/{other}' for other in range(world)]
    while not store.check(wanted):
        if time.monotonic() > end:
            absent = [str(other) for other in range(world) if not store.check([f'here/{other}'])]
            raise UserError(
                f'rank {", ".join(absent)} of {world} did not join within {_seconds_to_join():g} '
                f's; {JOIN_TIMEOUT}=SECONDS waits longer'
            )
        time.sleep(0.1)


class _Heart:
    """Sends heartbeats while this process trains, and ends it if another process has stopped.

    Rank 0 watches all others and reports lost ones; they watch rank 0. Outside of iterations a
    single call, such as evaluation in C++ or parsing of a large file, may block Python's other
    threads for long; there a process pauses its heartbeat and is not watched.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None
        self.resting = True

    def start(self, rank: int, world: int) -> None:
        self.ended.clear()
        self.rank, self.world, self.resting = rank, world, True
        # a separate connection: a blocked call may use that of the group
        self.store = _store(rank, is_master=False)
        self.store.set_timeout(timedelta(seconds=MISSED * 0.75))
        self.thread = threading.Thread(target=self._run, daemon=True, name='heartbeat')
        self.thread.start()
        atexit.register(self.stop)

    def rest(self, resting: bool = True) -> None:
        """Pauses or continues the heartbeat of this process."""
        if self.thread is not None and resting != self.resting:
            self.resting = resting
            with suppress(RuntimeError):  # the thread notices it, too
                self.store.set(f'beat/{self.rank}', _RESTS if resting else '0')

    def stop(self) -> None:
        """Stops the thread."""
        self.ended.set()
        if self.thread is not None:
            self.thread.join(5)
            self.thread = None

    def gone(self) -> str:
        """Names the processes that have ended, after a collective has failed."""
        if self.thread is None:
            return 'another process'
        try:
            self.store.set(f'failed/{self.rank}', '1')
            time.sleep(ASK)
            others = [other for other in range(self.world) if other != self.rank]
            lost = [r for r in others if not self.store.check([f'failed/{r}'])]
        except RuntimeError:  # the store was reachable
            lost = [0]
        named = ', '.join(f'{r} of {self.world}{self._place(r)}' for r in lost)
        return f'rank {named}' if lost else 'another process'

    def _run(self) -> None:
        watched = list(range(1, self.world)) if self.rank == 0 else [0]
        seen = dict.fromkeys(watched, (b'', time.monotonic()))
        beats = 0
        while not self.ended.wait(BEAT):
            if self.resting:
                seen = dict.fromkeys(watched, (b'', time.monotonic()))
                continue
            beats += 1
            try:
                self.store.set(f'beat/{self.rank}', str(beats))
                for other in watched:
                    self._look(other, seen)
            except RuntimeError:  # the store is lost or frozen, and rank 0 with it
                if not self.ended.wait(BEAT) and not self.resting:
                    self._end(0)

    def _look(self, other: int, seen: dict[int, tuple[bytes, float]]) -> None:
        key, now = f'beat/{other}', time.monotonic()
        found = self.store.get(key) if self.store.check([key]) else _RESTS.encode()
        if found != seen[other][0] or found == _RESTS.encode():
            seen[other] = found, now
        elif now - seen[other][1] > MISSED:
            self._end(other)

    def _end(self, lost: int) -> None:
        """Ends this process at once, after one process has printed the reason."""
        if self.rank in (0, 1):
            with suppress(OSError):
                text = (
                    f'error: rank {lost} of {self.world}{self._place(lost)} has not responded for '
                    f'{MISSED:g} s, killed or frozen; this job stops; continue with --resume\n'
                )
                os.write(2, text.encode())
        os._exit(1)

    def _place(self, rank: int) -> str:
        if rank == 0:
            return ''
        try:
            return f' ({self.store.get(f"here/{rank}").decode()})'
        except (RuntimeError, UnicodeDecodeError):
            return ''


_HEART = _Heart()


class HeartbeatHook(Hook):
    """Sends heartbeats during the iterations of training."""

    priority = 'HIGHEST'  # before any long operation

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        _HEART.rest(False)

    def before_val_epoch(self, runner) -> None:
        _HEART.rest()

    def agree_before_saving(self, runner) -> None:
        _HEART.rest()

    def after_train_epoch(self, runner) -> None:
        _HEART.rest()

    def close(self, runner) -> None:
        """At the end of training."""
        _HEART.rest()


def _silence() -> None:
    """Silences all output of this process except errors."""
    sys.stdout.flush()
    with open(os.devnull, 'w') as nothing:
        os.dup2(nothing.fileno(), 1)
    warnings.showwarning = lambda *what: print(warnings.formatwarning(*what[:4]))


@contextmanager
def main_first() -> Iterator[None]:
    """The first process of each machine runs the body before the others on it."""
    first = int(os.environ.get('LOCAL_RANK', 0)) == 0
    if not first:
        barrier()
    yield
    if first:
        barrier()


def speak_into(path: str | os.PathLike) -> None:
    """Redirects the output of this process to a file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    with open(path, 'a') as file:
        os.dup2(file.fileno(), 1)
