"""What is trained in a few lines, how far it is, and a table after each validation."""

import time
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..evaluation.metric_names import aligned, table
from ..utils.system import peak_memory
from .progress import Gauge, gauge
from .run_summary import facts
from .screen import Screen

WINDOW = 50
"""Steps over which loss and time are averaged."""


@HOOKS.register_module()
class ScreenHook(Hook):
    """Shows a training or a test to somebody who waits for it.

    On a terminal it is a progress bar; in a file a line after the first step and then one each
    ``interval``.

    Args:
        interval: steps from a line to the next, in files.
        verbose: show what is logged instead, as mmengine does; see
            :mod:`~moganet_dense.engine.screen`.
    """

    priority = 'BELOW_NORMAL'  # after losses are noted, before checkpoints are saved

    def __init__(self, interval: int = 50, verbose: bool = False) -> None:
        self.interval, self.verbose = interval, verbose
        self.screen: Screen | None = None
        self.gauge: Gauge | None = None
        self.times: deque[float] = deque(maxlen=WINDOW)
        self.images: deque[int] = deque(maxlen=WINDOW)
        self.stamp, self.first = 0.0, True

    def before_run(self, runner) -> None:
        self.screen = getattr(runner, 'screen', None)  # the runner has one where it is quiet
        if self.screen is not None and self.screen.on:
            self.gauge = gauge(self.screen, self.interval)

    def before_train(self, runner) -> None:
        if self.gauge:
            for line in facts(runner):
                self.screen.line(line)
            if not _by_epoch(runner):
                self._start(runner)

    def before_train_epoch(self, runner) -> None:
        if self.gauge and _by_epoch(runner):
            self._start(runner)

    def _start(self, runner) -> None:
        """Begins an epoch, or continues after a validation."""
        if _by_epoch(runner):
            title = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            self.gauge.begin(title, len(runner.train_dataloader))
        else:
            self.gauge.begin('iteration', runner.max_iters)
        self.stamp = time.perf_counter()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        if not self.gauge:
            return
        now = time.perf_counter()
        if self.first and len(self.times) == 1:
            self.times.clear()  # the first step starts workers and tunes kernels
            self.images.clear()
            self.first = False
        self.times.append(now - self.stamp)
        self.images.append(_images(data_batch))
        self.stamp = now
        done = batch_idx + 1 if _by_epoch(runner) else runner.iter + 1
        if self.gauge.due(done, now):
            self.gauge.move(done, self._facts(runner))

    def _facts(self, runner) -> str:
        seconds = sum(self.times) / len(self.times)
        loss = runner.message_hub.log_scalars.get('train/loss')
        shown = [f'loss {loss.mean(WINDOW):.4g}'] if loss is not None else []
        shown.append(f'{seconds:.2f} s/it')
        if rate := images_per_second(self.images, self.times):
            shown.append(f'{rate * get_world_size():.1f} images/s')
        left = timedelta(seconds=round(seconds * (runner.max_iters - runner.iter - 1)))
        return '  '.join([*shown, *_memory(), f'ETA {left}'])

    def before_val_epoch(self, runner) -> None:
        self._evaluate(runner.val_dataloader, 'validating')

    def before_test_epoch(self, runner) -> None:
        self._evaluate(runner.test_dataloader, 'testing')

    def _evaluate(self, loader: Any, title: str) -> None:
        if self.gauge:
            self.gauge.begin(title, len(loader), last=False)

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self.gauge and self.gauge.due(batch_idx + 1, time.perf_counter()):
            self.gauge.move(batch_idx + 1, '')

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        if not self.gauge:
            return
        self.gauge.end()
        count = f'epoch {runner.epoch}' if _by_epoch(runner) else f'iteration {runner.iter}'
        self._show(count, metrics or {})
        if not _by_epoch(runner):
            self._start(runner)
        self.stamp = time.perf_counter()

    def after_test_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        if self.gauge:
            self.gauge.end()
            self._show('test', metrics or {})

    def _show(self, title: str, metrics: dict[str, Any]) -> None:
        rows = table(metrics)
        if not rows:
            self.screen.line(f'{title}: no metrics, as the model found nothing yet')
            return
        width = len(title)
        for i, line in enumerate(aligned(rows)):
            self.screen.line(f'{title if i == 1 else "":{width}}  {line}', 'bold' * (i == 0))

    def after_train_epoch(self, runner) -> None:
        if self.gauge:
            self.gauge.end()

    def close(self, runner) -> None:
        """Takes the progress bar off the screen."""
        if self.gauge:
            self.gauge.end()


def _by_epoch(runner: Any) -> bool:
    """Whether the loop counts epochs; mmengine's of iterations has one epoch."""
    return hasattr(runner.train_loop, 'run_epoch')


def images_per_second(images: Iterable[int], seconds: Iterable[float]) -> float:
    """All images of the last steps over all of their time: a short last batch of an epoch changes
    it little. 0: a batch of unknown size is among them."""
    images = list(images)
    return 0.0 if 0 in images else sum(images) / max(sum(seconds), 1e-9)


def _images(batch: Any) -> int:
    """Images of a batch, or 0: not known."""
    inputs = batch.get('inputs') if isinstance(batch, dict) else None
    try:
        return len(inputs) if inputs is not None else 0
    except TypeError:
        return 0


def _memory() -> list[str]:
    """Maximum memory of this process so far: of the GPU, where there is one; none if not known."""
    if torch.cuda.is_available():
        peak: int | None = torch.cuda.max_memory_allocated()
    else:
        peak = peak_memory()
    return [] if peak is None else [f'{peak / 1e9:.1f} GB']
