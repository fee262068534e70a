"""A training step of a block, and how far its results are from exact ones."""

from collections.abc import Callable

import torch
from torch import nn


def a_map(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random numbers in channels_last."""
    return torch.randn(*shape).to(dtype).contiguous(memory_format=torch.channels_last)


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference, as a part of the largest value."""
    return ((found.double() - wanted).abs().max() / wanted.abs().max()).item()


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Length of the difference, as a part of that of the exact vector."""
    return ((found.double() - wanted).norm() / wanted.norm()).item()


def step(
    block: nn.Module, forward: Callable, x: torch.Tensor, grad: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Output and all gradients of a training step of a block, and its buffers after it."""
    x = x.clone().requires_grad_()
    block.zero_grad()
    y = forward(x)
    y.backward(grad.to(y.dtype))
    found = {'y': y.detach(), 'x': x.grad, **dict(block.named_buffers())}
    return found | {name: p.grad for name, p in block.named_parameters()}


def under_autocast(forward: Callable, dtype: torch.dtype) -> Callable:
    """The function under autocast on the CPU; float32 is computed without."""

    def under(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            return forward(x)

    return under
