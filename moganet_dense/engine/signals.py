"""SIGTERM and Ctrl-C: the iteration is finished and saved before training stops."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook, Hook

from ..utils.errors import Stopped
from .atomic_checkpoint import INTERRUPTED, point_to

SIGNALS = (signal.SIGTERM, signal.SIGINT)

ECHO = 1.0
"""Seconds in which a second signal to one of several processes is taken for the first one again:
torchrun passes on what a terminal or scheduler has sent to all of them already."""


class StopHook(Hook):
    """Saves and stops after the iteration in which a signal arrives.

    A second signal acts as if nobody listened. Only a main thread can listen.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.received, self.since = 0, 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens to :data:`SIGNALS` within."""
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        first, now = not self.received, time.monotonic()
        if first:
            self.received, self.since = number, now
            if get_world_size() > 1:
                return
        elif now - self.since < ECHO:
            return
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not first:
            os.kill(os.getpid(), number)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            self._save_and_stop(runner, number, runner.iter + 1)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if number := self._received_by_any():
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # validation runs on the average
                    hook.after_val_epoch(runner)
            self._save_and_stop(runner, number, runner.iter)

    def _received_by_any(self) -> int:
        """The signal, if any process of the training got one."""
        if get_world_size() == 1:
            return self.received
        number = torch.tensor(self.received, device=get_device())
        all_reduce(number, 'max')
        return int(number)

    def _save_and_stop(self, runner, number: int, done: int) -> None:
        target = str(Path(runner.work_dir, INTERRUPTED))
        runner.message_hub.update_info('last_ckpt', target)
        meta = dict(epoch=runner.epoch, iter=done)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta, by_epoch=False)
        point_to(runner, target)
        name = signal.Signals(number).name
        raise Stopped(
            f'stopped by {name} after iteration {done}; saved {target}; the same command with '
            '--resume goes on'
        )
