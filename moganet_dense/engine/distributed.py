"""One training in several processes: process group, logging of rank 0, and termination.

A launcher (torchrun, srun, mpirun) starts the processes and sets their ranks in the environment.
They communicate over gloo on CPUs and nccl on GPUs. A launcher stops the others when one of its
processes ends with an error; watchers detect a process that is frozen or lost.
"""

import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import barrier

from ..utils.errors import Interrupted, Stopped, UserError, reason_of
from ..utils.interrupts import handling
from ..utils.system import IS_WINDOWS
from .watcher import Watch

ENVIRONMENT = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
"""Environment variables of each launcher: rank, world size and local rank. All need MASTER_ADDR,
the machine of rank 0; the default of MASTER_PORT is 29500."""

TIMEOUT = timedelta(hours=2)
"""Time limit of a collective. Rank 0 may compute metrics for long; watchers detect lost ranks."""

JOIN_TIMEOUT = 'MOGANET_JOIN_TIMEOUT'
"""Environment variable: seconds that a process waits for the others to join."""
JOIN_SECONDS = 25

QUIET = 0.01
"""Seconds before a fork in which the threads of collectives can end their work."""

_watches: list[Watch] = []  # of this process: one while it belongs to a group


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
    # the watcher's own connection: the group's may be in use by a call that waits
    if not IS_WINDOWS:  # which has no fork
        _watches.append(Watch(partial(_store, rank, is_master=False), rank, world))
    _let_collectives_end_before_forks()
    backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    group = dist.PrefixStore('group', store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=world, timeout=TIMEOUT)


def _let_collectives_end_before_forks() -> None:
    """Keeps loader workers from being forked while a thread of a collective enters Python.

    It does so at the end of each, to free tensors. Python before 3.12 does not renew the lock of
    its thread states first in a fork: a worker forked in that moment waits for it, and the training
    for the worker, for ever. Seen once in thousands of forks, with 4 processes on 2 cores.
    """
    if sys.version_info < (3, 12) and hasattr(os, 'register_at_fork'):
        os.register_at_fork(before=lambda: time.sleep(QUIET))


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
        while _watches:
            _watches.pop().done()
        dist.destroy_process_group()


@contextmanager
def joined(launcher: str) -> Iterator[None]:
    """Context in which this process is a member of a group, see :func:`join`.

    Raises:
        UserError: another process has ended; replaces the error of the backend, and the signal that
            the launcher sends then.
        RuntimeError: any other error.
        Interrupted: a signal, while no process was missing.
        Stopped: a signal has ended the training.
    """
    before = dist.is_initialized()
    try:
        join(launcher)
        yield
    except Stopped:
        if not before:
            leave()
        raise
    except (RuntimeError, UserError, Interrupted) as error:
        if not _watches or not _is_lost_peer(error):
            raise
        with handling(lambda number, frame: None):  # the launcher's, of the same end
            gone = _watches[0].gone()
        raise UserError(
            f'{gone} has ended, killed or by an error; this job stops; continue with --resume'
        ) from error
    if not before:
        leave()


def _is_lost_peer(error: BaseException | None) -> bool:
    """Whether a collective failed, also where the error became a line or the launcher's signal came
    while it was raised."""
    words = ('Connection closed by peer', 'Connection reset by peer', 'NCCL', 'gloo', 'Broken pipe')
    while isinstance(error, (UserError, Interrupted)):
        error = error.__context__
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


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
