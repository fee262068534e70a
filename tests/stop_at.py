"""Hooks that do to a training what schedulers, people and the kernel do."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import time

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class StopAt(Hook):
    """Sends signals to its own process, once.

    Args:
        iteration: at which it does, from 1; in other stages than that of training iterations,
            those that are done.
        signals: their numbers.
        gap: seconds between them.
        stage: method of a hook in which it does.
        parent: sends them to the parent, GNU timeout for example, which passes them on.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        iteration: int,
        signals: tuple[int, ...] = (signal.SIGTERM,),
        gap: float = 0.0,
        stage: str = 'before_train_iter',
        parent: bool = False,
    ) -> None:
        self.iteration, self.signals, self.gap, self.parent = iteration, signals, gap, parent
        setattr(self, stage, self._send)

    def _send(self, runner, *args, **options) -> None:
        if self.signals and runner.iter + 1 == self.iteration:
            signals, self.signals = self.signals, ()
            for number in signals:
                os.kill(os.getppid() if self.parent else os.getpid(), number)
                time.sleep(self.gap)


@HOOKS.register_module()
class HitWorkers(Hook):
    """Sends a signal to the loader's workers, from another process than their parent."""

    def __init__(self, iteration: int, number: int, stage: str = 'before_train_iter') -> None:
        self.iteration, self.number = iteration, number
        setattr(self, stage, self._hit)

    def _hit(self, runner, *args, **options) -> None:
        if runner.iter + 1 >= self.iteration and self.number:
            for child in multiprocessing.active_children():
                subprocess.run(['kill', f'-{self.number}', str(child.pid)], check=True)
            self.number = 0


@HOOKS.register_module()
class RemoveWorkDir(Hook):
    """Removes or renames the work dir while training runs in it."""

    def __init__(self, iteration: int, renamed: bool) -> None:
        self.iteration, self.renamed = iteration, renamed

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter + 1 == self.iteration:
            if self.renamed:
                os.rename(runner.work_dir, f'{runner.work_dir}_renamed')
            else:
                shutil.rmtree(runner.work_dir)
