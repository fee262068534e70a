"""Records the metadata and evaluations of a run, next to mmengine's logs.

Two files in the folder of the run (work dir / start time), each written atomically: ``run.json``,
the metadata of the run, and ``evaluation.json``, the last evaluation. Only the first process
writes, and errors here never stop a run: they are warnings of one line.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS

from ..engine.run_info import file_weights, run_info, start_weights
from ..evaluation.metric_recorders import record
from ..evaluation.summary import Evaluation, number
from ..utils.atomic import write_text
from ..utils.nonfatal import nonfatal
from ..utils.system import peak_memory
from .runs import EVALUATION, RUN
from .write import report_of_run


@HOOKS.register_module()
class RecordHook(Hook):
    """Writes the two files, and the report at the end; sends example predictions of validations
    to the trackers.

    Args:
        checkpoint: the tested checkpoint, if the runner does not load it.
    """

    priority = 'LOW'  # after the metrics are logged

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.facts: dict[str, Any] = {}
        self.found: Evaluation | None = None
        self.started, self.watched = 0.0, 0

    def before_run(self, runner) -> None:
        if is_main_process():
            with nonfatal('recording the run'):
                self.facts = dict(
                    command=[Path(sys.argv[0]).name, *sys.argv[1:]],
                    began=time.time(),
                    processes=get_world_size(),
                    parameters=sum(p.numel() for p in runner.model.parameters()),
                    **self._describe(runner),
                )
                _write(runner, RUN, self.facts)

    def _describe(self, runner) -> dict[str, Any]:
        start = dict(runner.cfg, load_from=runner._load_from, resume=runner._resume)
        if isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict)):  # built to train
            return run_info(runner.cfg, 'train', start_weights(start))
        tested = self.checkpoint or start['load_from'] or 'none'
        return run_info(runner.cfg, 'test', file_weights(tested))

    def after_run(self, runner) -> None:
        if is_main_process() and self.facts:
            with nonfatal('recording the run'):
                self.facts.update(ended=time.time(), **_memory())
                _write(runner, RUN, self.facts)
        report_of_run(runner.work_dir)

    def before_val_epoch(self, runner) -> None:
        self._begin(runner.val_loop)

    def before_test_epoch(self, runner) -> None:
        self._begin(runner.test_loop)

    def after_val_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        self._end(runner, 'val', runner.val_dataloader, metrics)
        if self.found and is_main_process():
            with nonfatal('showing example predictions'):
                for number, image in enumerate(self.found.first):
                    runner.visualizer.add_image(f'example_{number}', image, step=runner.iter)

    def after_test_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        self._end(runner, 'test', runner.test_dataloader, metrics)

    def _begin(self, loop: Any) -> None:
        self.found, self.started = None, time.time()
        # not the loop itself: a cycle would keep the runner, and with it the loaders' processes
        if id(loop) != self.watched:
            self.watched = id(loop)
            with nonfatal('reading the metrics'):
                record(loop.evaluator, loop.dataloader.dataset, self._keep)

    def _keep(self, make: Callable[[], Evaluation]) -> None:
        with nonfatal('evaluating for the report'):
            self.found = make()

    def _end(self, runner, mode: str, loader: Any, metrics: dict[str, Any] | None) -> None:
        if not is_main_process():
            return
        with nonfatal('recording the evaluation'):
            content = self.found.content() if self.found else {}
            place = dict(iteration=runner.iter, epoch=runner.epoch) if mode == 'val' else {}
            content.update(
                mode=mode,
                ended=time.time(),
                seconds=time.time() - self.started,
                images=len(loader.dataset),
                metrics={name: _plain(value) for name, value in (metrics or {}).items()},
                **place,
            )
            _write(runner, EVALUATION, content)


def _plain(value: Any) -> float | str | None:
    """A value for JSON; None for COCO's -1, which means undefined."""
    try:
        return None if float(value) == -1 else number(float(value))
    except (TypeError, ValueError):
        return str(value)


def _memory() -> dict[str, float]:
    """Peak memory of this process in MB, and of the first GPU if there is one."""
    found = {} if (peak := peak_memory()) is None else dict(memory=peak / 2**20)
    if torch.cuda.is_available():
        found['gpu_memory'] = torch.cuda.max_memory_allocated() / 2**20
    return found


def _write(runner: Any, name: str, content: dict[str, Any]) -> None:
    target = Path(runner.log_dir, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(content))
