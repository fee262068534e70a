"""A loss or weights that are not finite stop training before they do harm."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper

from ..utils.errors import UserError
from .atomic_checkpoint import POINTER


class FiniteHook(Hook):
    """Looks at the loss before the weights are changed by it, and at weights before saving.

    Args:
        tolerated: so many iterations in a row may have a loss that is not finite. In them
            weights, optimizer and statistics stay as they are; iterations and schedules count.
    """

    priority = 'VERY_HIGH'  # before the average follows the weights

    def __init__(self, tolerated: int = 0) -> None:
        self.tolerated, self.in_a_row = tolerated, 0
        self.bad, self.before = False, []

    def before_run(self, runner) -> None:
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapper):
            wrapper.update_params = self._guarded(wrapper, wrapper.update_params)

    def _guarded(self, wrapper: OptimWrapper, update: Callable) -> Callable:
        def update_params(loss: torch.Tensor, *args: Any, **options: Any) -> None:
            self.bad = _true_for_any(~torch.isfinite(loss.detach()).all())
            if not self.bad:
                return update(loss, *args, **options)
            wrapper._inner_count += 1
            if wrapper._accumulative_counts > 1 and wrapper.should_update():
                wrapper.step()  # the gradients of the batches before it
                wrapper.zero_grad()

        return update_params

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.bad = False
        if self.tolerated:  # the forward pass changes statistics before the loss is known
            self.before = [buffer.clone() for buffer in runner.model.buffers()]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.in_a_row = self.in_a_row + 1 if self.bad else 0
        if not self.bad:
            return
        terms = ', '.join(f'{k} {torch.as_tensor(v).item():g}' for k, v in _losses(outputs))
        images = ', '.join(_images(data_batch)) or 'unknown'
        what = f'iteration {runner.iter + 1}: the loss is not finite ({terms}); images: {images}'
        if self.in_a_row > self.tolerated:
            raise UserError(f'{what}; {_last_good(runner)}')
        print_log(f'passed over: {what}', 'current', logging.WARNING)
        for buffer, value in zip(runner.model.buffers(), self.before, strict=True):
            buffer.copy_(value)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        bad = [
            name
            for name, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if bad:
            raise UserError(
                f'after iteration {runner.iter}: {len(bad)} tensors of the model are not finite, '
                f'{bad[0]} first; they are not saved; {_last_good(runner)}'
            )


def _true_for_any(flag: torch.Tensor) -> bool:
    """Whether the flag is set in any process: all of them act alike, or they would wait."""
    if get_world_size() > 1:
        flag = flag.int()
        all_reduce(flag, 'max')
    return bool(flag)


def _losses(outputs: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    return ((k, v) for k, v in (outputs or {}).items() if 'loss' in k)


def _images(batch: Any) -> Iterator[str]:
    samples = batch.get('data_samples', []) if isinstance(batch, Mapping) else []
    for sample in samples:
        yield str(getattr(sample, 'img_path', getattr(sample, 'img_id', 'unnamed')))


def _last_good(runner) -> str:
    pointer = Path(runner.work_dir, POINTER)
    return f'last good checkpoint: {pointer.read_text() if pointer.is_file() else "none"}'
