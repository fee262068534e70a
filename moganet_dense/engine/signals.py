"""SIGTERM, SIGHUP and Ctrl-C: finish the iteration and save before training stops.

A signal may arrive twice within milliseconds: GNU timeout and schedulers signal a process and then
its group, torchrun forwards signals that its workers already got, and keys bounce. So only a second
Ctrl-C after the message of the first one stops at once. Signals that are ignored when
training starts, as SIGHUP under nohup, stay ignored.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader

from ..utils.errors import Interrupted, Stopped, UserError, reason_of
from ..utils.interrupts import bounces, ending_by_signals, install, restore, say
from ..utils.system import IS_WINDOWS, SIGNALS, limit_of_files
from .atomic_checkpoint import INTERRUPTED, describe_last, point_to, save


def stopping_at_once(work_dir: str | os.PathLike) -> AbstractContextManager[None]:
    """Context for the code before and after the iterations: a signal ends it with one line.

    Raises:
        Interrupted: a signal came.
    """
    return ending_by_signals(lambda: f' outside of the training loop; {describe_last(work_dir)}')


@HOOKS.register_module()
class SignalHook(Hook):
    """Saves and stops after the iteration in which a signal arrives.

    It also makes loader workers ignore the signals of a scheduler or terminal, which reach every
    process of a job, and saves if a worker is lost.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.received, self.validating = 0, False
        self.before: dict[int, Any] = {}
        self.work_dir = ''

    def before_train(self, runner) -> None:
        self.work_dir = runner.work_dir
        self.before = install(self._note)
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            let_workers_ignore_signals(loader)

    def after_train(self, runner) -> None:
        self.close(runner)

    def close(self, runner) -> None:
        """Restores the handlers, at the end of training or after an error."""
        restore(self.before)
        self.before = {}

    def _note(self, number: int, frame: Any) -> None:
        again = bounces()
        name = signal.Signals(number).name
        if not self.received:
            self.received = number
            hint = '; Ctrl-C again stops at once, without saving' * (number == signal.SIGINT)
            say(f'{name}: finishing the iteration, then saving{hint}')
        elif number == signal.SIGINT and not again:
            say(f'stopped at once by a second Ctrl-C; {describe_last(self.work_dir)}')
            raise Interrupted(number)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._leave_lost_workers_to_the_loop()

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._leave_lost_workers_to_the_loop()

    def _leave_lost_workers_to_the_loop(self) -> None:
        """torch raises when a worker dies, also in the middle of a step; without its handler the
        loop notices it within seconds, at the next batch."""
        if not self.before or IS_WINDOWS:
            return
        if callable(handler := signal.getsignal(signal.SIGCHLD)):
            self.before[signal.SIGCHLD] = handler
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            self._save_and_stop(runner, number, runner.iter + 1)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            self._end_validation(runner)
            self._save_and_stop(runner, number, runner.iter)

    def _end_validation(self, runner) -> None:
        """Gives the model its weights back: validation runs on their average."""
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and self.validating:
                hook.after_val_epoch(runner)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self.validating = False
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
        barrier()  # a launcher ends the one that writes when another one has ended
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

    def before_val_epoch(self, runner) -> None:
        self.validating = True

    def after_losing_a_worker(self, runner, error: Exception) -> None:
        """Saves between two iterations, or in a validation, in a training of one process.

        Raises:
            UserError: always, with the saved checkpoint.
        """
        if not IS_WINDOWS:
            self.before.pop(signal.SIGCHLD, None)  # torch's handler would raise again
        reason = reason_of(error)
        self._end_validation(runner)
        if get_world_size() == 1 and runner.iter:
            saved = f'saved {self._save(runner, runner.iter)}; --resume continues from it'
        else:
            saved = describe_last(runner.work_dir)
        raise UserError(
            f'a loader worker ended ({reason}), killed or out of memory, of shared memory '
            f'({_shared_memory()}) or of open files (ulimit -n {limit_of_files()}); use fewer '
            f'workers, or none (--cfg-options train_dataloader.num_workers=0), or more; {saved}'
        ) from error


def is_lost_worker(error: Exception) -> bool:
    """Whether torch or a pipe reports a lost loader worker; errors raised in a worker are reported
    as 'Caught ... in DataLoader worker'."""
    if isinstance(error, RuntimeError):
        return str(error).startswith('DataLoader worker')
    return not str(error).startswith('Caught')


def _shared_memory() -> str:
    try:
        found = os.statvfs('/dev/shm')
    except (OSError, AttributeError):  # not Linux
        return '/dev/shm: none'
    return f'/dev/shm: {found.f_bavail * found.f_frsize >> 10} of ' + (
        f'{found.f_blocks * found.f_frsize >> 10} KB free'
    )


def let_workers_ignore_signals(loader: DataLoader) -> None:
    """Makes the workers of a loader ignore signals that every process of a job gets."""
    before = loader.worker_init_fn
    if not isinstance(before, partial) or before.func is not _start_worker:
        loader.worker_init_fn = partial(_start_worker, before=before)


def _start_worker(worker_id: int, before: Callable[[int], None] | None = None) -> None:
    if before is not None:
        before(worker_id)
    for number in set(SIGNALS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
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
        say(f'loader worker: a batch cannot be sent: {reason} ({_shared_memory()})')
        os._exit(1)

    Queue._on_queue_feeder_error = staticmethod(fail)  # in this process; set by Python's extension
