"""Stops training at a non-finite loss or non-finite weights."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn as nn
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS

from ..utils.errors import UserError
from .atomic_checkpoint import describe_last
from .device_values import EarlyCopy, must_wait


@HOOKS.register_module()
class NonfiniteLossHook(Hook):
    """Checks the loss before the weights are updated, and the weights before they are saved.

    A forward hook of the model reads the losses. If they are not finite and the batch may be
    skipped, they are replaced by the same values with zero gradients, and the optimizer step gets
    no gradients unless another batch was accumulated. So this works with any optimizer wrapper.

    On a GPU, if no batch may be skipped, the backward pass is launched before the loss is read, and
    the loss is read before the optimizer step, so the GPU does not wait.

    Args:
        max_skipped: number of consecutive iterations that may have a non-finite loss. They leave
            weights, optimizer state and statistics unchanged; iterations and schedules advance.
    """

    priority = 'VERY_HIGH'  # before the moving average is updated

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped, self.in_a_row = max_skipped, 0
        self.useful = self.stepped = False
        """Whether a gradient of a finite loss is pending; whether the optimizer step has run."""
        self.runner: Any = None
        self.batch: Any = None
        self.buffers: list[torch.Tensor] = []
        self.asked: tuple[EarlyCopy, Mapping[str, Any]] | None = None
        """Asynchronous flag of a non-finite loss, and the losses."""
        self.handles: list[Any] = []

    def before_train(self, runner) -> None:
        model = _model(runner)
        self.useful = any(p.grad is not None for p in model.parameters())  # resumed
        self.handles = [model.register_forward_hook(self._check, with_kwargs=True)]
        for optimizer in _optimizers(runner):
            self.handles.append(optimizer.register_step_pre_hook(self._before_step))

    def after_train(self, runner) -> None:
        self.close(runner)

    def close(self, runner) -> None:
        """Removes the hooks of model and optimizer, at the end or after an error."""
        for handle in self.handles:
            handle.remove()
        self.handles, self.runner, self.batch, self.buffers = [], None, None, []
        self.asked = None

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.runner, self.batch = runner, data_batch
        if self.max_skipped:  # the forward pass changes statistics before the loss is known
            self.buffers = [buffer.clone() for buffer in _model(runner).buffers()]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._stop_if_asked()  # the step may not have run
        self.runner, self.batch, self.buffers = None, None, []
        if self.stepped:
            self.useful = self.stepped = False

    def _check(self, model: nn.Module, args: tuple, options: dict, losses: Any) -> dict | None:
        """The replaced losses if they are not finite; None: unchanged."""
        if self.runner is None or options.get('mode') != 'loss':
            return None
        bad = _of_any_process(~torch.isfinite(_total(losses).detach()))
        if not self.max_skipped and must_wait(bad):
            self.useful, self.asked = True, (EarlyCopy(bad), losses)
            return None
        if not bad:
            self.useful, self.in_a_row = True, 0
            return None
        self.in_a_row += 1
        if self.in_a_row > self.max_skipped:
            raise self._error(losses)
        print_log(f'skipped: {self._describe(losses)}', 'current', logging.WARNING)
        for buffer, value in zip(model.buffers(), self.buffers, strict=True):
            buffer.copy_(value)
        return _without_gradient(losses, model)

    def _stop_if_asked(self) -> None:
        """Raises UserError if the pending loss is not finite."""
        (bad, losses), self.asked = self.asked or (None, {}), None
        if bad is not None and bad.get():
            raise self._error(losses)

    def _error(self, losses: Mapping[str, Any]) -> UserError:
        return UserError(f'{self._describe(losses)}; {describe_last(self.runner.work_dir)}')

    def _describe(self, losses: Mapping[str, Any]) -> str:
        terms = ', '.join(f'{name} {value:g}' for name, value in _terms(losses))
        return (
            f'iteration {self.runner.iter + 1}: the loss is not finite ({terms}); '
            f'images: {", ".join(_images(self.batch)) or "unknown"}'
        )

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._stop_if_asked()
        if not self.useful:  # zero gradients, which would still decay weights and move averages
            for group in optimizer.param_groups:
                for parameter in group['params']:
                    parameter.grad = None
        self.stepped = True

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        bad = [
            name
            for name, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if bad:
            raise UserError(
                f'after iteration {runner.iter}: {len(bad)} tensors of the model are not finite, '
                f'{bad[0]} first; they are not saved; {describe_last(runner.work_dir)}'
            )


def _model(runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _optimizers(runner) -> list[torch.optim.Optimizer]:
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return [each.optimizer for each in wrapper.values()]
    return [wrapper.optimizer]


def _total(losses: Mapping[str, Any]) -> torch.Tensor:
    """Sum of the means of all losses, as in mmengine (BaseModel.parse_losses)."""
    means = [v.mean() for k, value in losses.items() if 'loss' in k for v in _as_list(value)]
    return sum(means, means[0].new_zeros(()) if means else torch.zeros(()))


def _as_list(value: Any) -> list[torch.Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _without_gradient(losses: Mapping[str, Any], model: nn.Module) -> dict:
    """The same losses with zero gradients for every parameter."""
    nothing = sum(0 * p.flatten()[:1].float().sum() for p in model.parameters() if p.requires_grad)

    def cut(value: Any) -> Any:
        return [cut(v) for v in value] if isinstance(value, list) else value.detach() + nothing

    return {k: cut(value) if 'loss' in k else value for k, value in losses.items()}


def _terms(losses: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in losses.items():
        if 'loss' in name:
            yield name, float(sum(v.detach().mean() for v in _as_list(value)))


def _of_any_process(flag: torch.Tensor) -> torch.Tensor:
    """Whether the flag is set in any process: all have to act alike, or they would deadlock."""
    if get_world_size() > 1:
        flag = flag.int()
        all_reduce(flag, 'max')
    return flag


def _images(batch: Any) -> Iterator[str]:
    samples = batch.get('data_samples', []) if isinstance(batch, Mapping) else []
    for sample in samples:
        yield str(getattr(sample, 'img_path', getattr(sample, 'img_id', 'unnamed')))
