"""Fully sharded training (FSDP): weights, gradients and optimizer state are sharded over the
processes.

Every block of the backbone is gathered for its computation and freed after it; everything else is
one more unit. Names, shapes and checkpoints are the same as without sharding: weights are gathered
before a file is written and sharded after it is read. So all tools can read the file, and a
training can be resumed with or without sharding, in any number of processes.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook

from ..models.blocks import MogaBlock
from ..utils.errors import UserError

try:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError:  # before torch 2.6
    fully_shard, DTensor = None, ()


def check_sharding(launcher: str, hooks: list[Hook]) -> None:
    """Checks that training can be sharded.

    Raises:
        UserError: it cannot, with the reason.
    """
    if fully_shard is None:
        raise UserError(f'--fsdp needs torch 2.6 or later, found {torch.__version__}')
    if launcher == 'none':
        raise UserError('--fsdp needs several processes: start with tools/dist_train.sh')
    if any(isinstance(hook, EMAHook) for hook in hooks):
        raise UserError('--fsdp does not support a moving average of the weights; remove EMAHook')


def shard(model: nn.Module) -> None:
    """Shards the parameters of a model over all processes, in place."""
    mesh = init_device_mesh(get_device(), (get_world_size(),))
    for module in list(model.modules()):
        if isinstance(module, MogaBlock):
            fully_shard(module, mesh=mesh)
            module.register_forward_pre_hook(_with_usual_strides)  # after FSDP's own
    fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Whether :func:`shard` was called with the model."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def _with_usual_strides(block: nn.Module, args: tuple) -> tuple:
    """A map of one image in channels_last, with H W C as the stride of the batch.

    FSDP passes on a view whose stride is C there: the same map, but convolutions take it for one in
    the default format, and so does the backward pass of batch norm on CPUs for half of what it
    reads, so that its gradients are wrong (PyTorch 2.14).
    """
    x, *rest = args
    if len(x) == 1 and x.is_contiguous(memory_format=torch.channels_last):
        pixels = x.permute(0, 2, 3, 1)
        x = pixels.view(pixels.shape).permute(0, 3, 1, 2)
    return x, *rest


def whole(value: torch.Tensor) -> torch.Tensor:
    """The full tensor of a sharded one; others are returned unchanged. Collective."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def divided_as(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A full tensor, sharded like a parameter of its shape."""
    if not isinstance(parameter, DTensor):
        return value.to(parameter)
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements
    )


class WholeCheckpointHook(Hook):
    """Gathers weights and optimizer state before saving, and shards them after loading."""

    priority = 'HIGHEST'  # before hooks that read weights

    def __init__(self) -> None:
        self.weights, self.optimizer = {}, {}

    def agree_before_saving(self, runner) -> None:
        self.weights = dict(_kept(runner.model.state_dict().items()))
        state = runner.optim_wrapper.state_dict()
        state['state'] = {i: dict(_kept(s.items())) for i, s in state['state'].items()}
        self.optimizer = state

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['state_dict'].update(self.weights)
        if 'optimizer' in checkpoint:
            checkpoint['optimizer'] = self.optimizer
        self.weights, self.optimizer = {}, {}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        parameters = dict(runner.model.named_parameters())
        weights = checkpoint['state_dict']
        for name in set(weights) & set(parameters):
            weights[name] = divided_as(weights[name], parameters[name])
        if not getattr(runner, '_resume', False):
            return
        groups = runner.optim_wrapper.optimizer.param_groups
        numbered = [parameter for group in groups for parameter in group['params']]
        for i, state in checkpoint['optimizer']['state'].items():
            for name, value in state.items():
                if torch.is_tensor(value) and value.shape == numbered[i].shape:
                    state[name] = divided_as(value, numbered[i])


def _kept(items: Any) -> Iterator[tuple[str, Any]]:
    """Names and gathered values; only rank 0 keeps them."""
    for name, value in items:
        if torch.is_tensor(value):
            value = whole(value.detach()).cpu()
        if is_main_process():
            yield name, value
