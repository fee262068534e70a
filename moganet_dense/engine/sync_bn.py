"""Batch norm statistics in several processes: over the whole batch with SyncBN, and averaged before
validation and saving."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn as nn
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from torch.nn.modules.batchnorm import _BatchNorm


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes; torch's own is deprecated since 2.14.

    Every process uses the sum, so that its gradient is the sum of theirs.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return SumOverProcesses.apply(grad.contiguous())


class CpuSyncBatchNorm(_BatchNorm):
    """SyncBatchNorm for CPUs; torch's trains only on GPUs.

    Mean, variance and their gradients are computed over the batches of all processes: the gradient
    of a sum over processes is the sum of the gradients. It does not inherit from SyncBatchNorm,
    which DDP rejects on CPUs.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> 'CpuSyncBatchNorm':
        """Shares the parameters and statistics of another batch norm."""
        made = cls(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        made._parameters, made._buffers = norm._parameters, norm._buffers
        return made.train(norm.training)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f'expected (B, C, ...), found {tuple(x.shape)}')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises x, (B, C, ...), over all axes except C and over the processes."""
        self._check_input_dim(x)
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = values.new_tensor([values.numel() // values.shape[1]])
        total = SumOverProcesses.apply(torch.cat([values.sum(axes), count]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = values - mean.view(shape)
        variance = SumOverProcesses.apply(centred.square().sum(axes)) / count
        self._note(mean.detach(), variance.detach() * count / (count - 1))
        result = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Updates the running statistics as torch does."""
        if not self.track_running_stats:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def synchronise_on_cpu(module: nn.Module, all_norms: bool = False) -> nn.Module:
    """Replaces torch's SyncBatchNorms of a model by ones that train on CPUs.

    Args:
        module: the model, changed in place.
        all_norms: replace all batch norms, as mmengine's option ``sync_bn`` does on GPUs.

    Returns:
        the model; a new module if it is such a norm itself.
    """
    if isinstance(module, _BatchNorm if all_norms else nn.SyncBatchNorm):
        return CpuSyncBatchNorm.of(module)
    for name, child in module.named_children():
        replaced = synchronise_on_cpu(child, all_norms)
        if replaced is not child:
            setattr(module, name, replaced)
    return module


@HOOKS.register_module()
class AverageBuffersHook(Hook):
    """Averages running statistics over the processes before validation and saving.

    Plain batch norms use the images of each process; without averaging every process would
    validate another model, and the checkpoint would have the statistics of rank 0.
    """

    priority = 'LOWEST'  # after a moving average has replaced the weights

    def before_val_epoch(self, runner) -> None:
        _average(runner)

    def agree_before_saving(self, runner) -> None:
        _average(runner)


def _average(runner) -> None:
    if get_world_size() > 1:
        for buffer in _buffers(runner):
            all_reduce(buffer, 'mean')


def _buffers(runner) -> Iterator[torch.Tensor]:
    """The floating-point statistics of the model and its moving averages."""
    averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    for model in (runner.model, *averages):
        for buffer in model.buffers():
            if buffer.is_floating_point():
                yield buffer
