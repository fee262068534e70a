"""SIGTERM, SIGHUP and Ctrl-C: finish the iteration and save before training stops.

A signal may arrive twice within milliseconds: GNU timeout and schedulers signal a process and then
its group, torchrun forwards signals that its workers already got, and keys bounce. So only a second
Ctrl-C after the message of the first one stops at once. Signals that are ignored when
training starts, as SIGHUP under nohup, stay ignored.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader

from ..utils.errors import Interrupted, Stopped, UserError, reason_of
from .atomic_checkpoint import INTERRUPTED, describe_last, point_to, save

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

DELIBERATE = 1.0
"""Seconds after which a second Ctrl-C counts as deliberate."""

_Handler = Callable[[int, Any], None]


@contextmanager
def handling(handler: _Handler) -> Iterator[None]:
    """Context that calls ``handler`` for :data:`SIGNALS`; only works in the main thread."""
    before = _install(handler)
    try:
        yield
    finally:
        _restore(before)


def _install(handler: _Handler) -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def stopping_at_once(work_dir: str | os.PathLike) -> Iterator[None]:
    """Context for the code before and after the iterations: a signal ends it with one line.

    Raises:
        Interrupted: a signal came.
    """

    def stop(number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        _say(f'stopped by {name} outside of the training loop; {describe_last(work_dir)}')
        raise Interrupted(number)

    with handling(stop):
        yield


@HOOKS.register_module()
class SignalHook(Hook):
    """Saves and stops after the iteration in which a signal arrives.

    It also makes loader workers ignore the signals of a scheduler or terminal, which reach every
    process of a job, and saves if a worker is lost.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.received, self.since = 0, 0.0
        self.before: dict[int, Any] = {}
        self.work_dir = ''

    def before_train(self, runner) -> None:
        self.work_dir = runner.work_dir
        self.before = _install(self._note)
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            let_workers_ignore_signals(loader)

    def after_train(self, runner) -> None:
        self.close(runner)

    def close(self, runner) -> None:
        """Restores the handlers, at the end of training or after an error."""
        _restore(self.before)
        self.before = {}

    def _note(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self.since = number, now
            again = '; Ctrl-C again stops at once, without saving' * (number == signal.SIGINT)
            _say(f'{signal.Signals(number).name}: finishing the iteration, then saving{again}')
        elif number == signal.SIGINT and now - self.since >= DELIBERATE:
            _say(f'stopped at once by a second Ctrl-C; {describe_last(self.work_dir)}')
            raise Interrupted(number)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._leave_lost_workers_to_the_loop()

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._leave_lost_workers_to_the_loop()

    def _leave_lost_workers_to_the_loop(self) -> None:
        """torch raises when a worker dies, also in the middle of a step; without its handler the
        loop notices it within seconds, at the next batch."""
        if self.before and callable(handler := signal.getsignal(signal.SIGCHLD)):
            self.before[signal.SIGCHLD] = handler
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            self._save_and_stop(runner, number, runner.iter + 1)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # validation runs on the average
                    hook.after_val_epoch(runner)
            self._save_and_stop(runner, number, runner.iter)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        if number := self._received_by_any():
            self._save_and_stop(runner, number, runner.iter)

    def _received_by_any(self) -> int:
        """The signal that any process of the training received, or None."""
        if get_world_size() == 1:
            return self.received
        number = torch.tensor(self.received, device=get_device())
        all_reduce(number, 'max')
        return int(number)

    def _save_and_stop(self, runner, number: int, done: int) -> None:
        target = self._save(runner, done)
        name = signal.Signals(number).name
        text = (
            f'stopped by {name} after iteration {done}; saved {target}; the same command with '
            '--resume continues'
        )
        if is_main_process():
            print(text, file=sys.stderr)
        raise Stopped(text)

    def _save(self, runner, done: int) -> str:
        target = str(Path(runner.work_dir, INTERRUPTED))
        runner.message_hub.update_info('last_ckpt', target)
        meta = dict(epoch=runner.epoch, iter=done)
        save(runner, runner.work_dir, INTERRUPTED, meta=meta, by_epoch=False)
        point_to(runner, target)
        return target

    def after_losing_a_worker(self, runner, error: Exception) -> None:
        """Saves between two iterations, in a training of one process.

        Raises:
            UserError: always, with the saved checkpoint.
        """
        self.before.pop(signal.SIGCHLD, None)  # torch's handler would raise again
        reason = reason_of(error)
        if get_world_size() == 1 and runner.iter:
            saved = f'saved {self._save(runner, runner.iter)}; --resume continues from it'
        else:
            saved = describe_last(runner.work_dir)
        raise UserError(
            f'a loader worker ended ({reason}), killed or out of memory or of shared memory '
            f'({_shared_memory()}); fewer workers (train_dataloader.num_workers), or more memory; '
            f'{saved}'
        ) from error


def _shared_memory() -> str:
    try:
        found = os.statvfs('/dev/shm')
    except OSError:
        return '/dev/shm: none'
    return f'/dev/shm: {found.f_bavail * found.f_frsize >> 10} of ' + (
        f'{found.f_blocks * found.f_frsize >> 10} KB free'
    )


def _say(text: str) -> None:
    """Prints from a signal handler, which may interrupt a write to a buffered stream."""
    with contextlib.suppress(OSError):
        os.write(2, f'{text}\n'.encode())


def let_workers_ignore_signals(loader: DataLoader) -> None:
    """Makes the workers of a loader ignore signals that every process of a job gets."""
    before = loader.worker_init_fn
    if not isinstance(before, partial) or before.func is not _start_worker:
        loader.worker_init_fn = partial(_start_worker, before=before)


def _start_worker(worker_id: int, before: Callable[[int], None] | None = None) -> None:
    if before is not None:
        before(worker_id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_by_parent_alone()
    _die_of_lost_data()


def _end_by_parent_alone() -> None:
    """Ends this worker at a SIGTERM of its parent, which Python sends at exit, and ignores
    others."""
    if not hasattr(signal, 'sigwaitinfo'):
        return
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name='sigterm').start()


def _die_of_lost_data() -> None:
    """Ends this worker if a batch cannot be sent, as with a small /dev/shm: Python only prints the
    error, and the parent would wait forever."""
    from multiprocessing.queues import Queue

    def fail(error: BaseException, batch: Any) -> None:
        reason = reason_of(error)
        _say(f'loader worker: a batch cannot be sent: {reason} ({_shared_memory()})')
        os._exit(1)

    Queue._on_queue_feeder_error = staticmethod(fail)  # in this process; set by Python's extension
