"""Fused kernels for NVIDIA GPUs, in Triton, and the decision whether to use them.

The kernels are off unless the environment variable ``MOGANET_KERNELS`` is 1: they have not been
measured on a GPU yet. docs/speed.md lists the memory traffic of each.
"""

from typing import Any

import torch
import torch.nn as nn

from ..tracing import compiling
from .choice import (
    Implementation,
    dtype_for,
    implementation_for,
    reason_against,
    unavailable,
    use_kernels,
)

__all__ = [
    'Implementation',
    'block_served',
    'compute_block',
    'compute_fused_block',
    'fused_block_served',
    'implementation_for',
    'reason_against',
    'reason_against_block',
    'unavailable',
    'use_kernels',
]


def reason_against_block(block: Any) -> str | None:
    """The reason why the kernels do not support a MogaBlock; None if they do."""
    if block.mlp.drop.p > 0 and block.training:
        return 'dropout in the FFN, which draws on the wide map'
    for norm in (block.norm1, block.norm2):
        if type(norm) is not nn.BatchNorm2d:
            return f'a norm of type {type(norm).__name__}: they compute BatchNorm2d'
        if norm.weight is None or norm.running_mean is None or norm.momentum is None:
            return 'a batch norm without weight, running statistics or momentum'
    return None


def block_served(block: Any) -> bool:
    """Whether the kernels support a MogaBlock."""
    return reason_against_block(block) is None


def compute_block(
    block: Any, x: torch.Tensor, kept_1: torch.Tensor | None, kept_2: torch.Tensor | None
) -> torch.Tensor:
    """Runs a MogaBlock; see :func:`.block.compute_block`. Imports Triton."""
    from .block import compute_block

    return compute_block(block, x, kept_1, kept_2)


def fused_block_served(block: Any, x: torch.Tensor) -> bool:
    """Whether the kernels support a fused block: in inference, in the dtype of its weights, which
    is that of autocast where it is on."""
    return (
        implementation_for(x) is Implementation.KERNELS
        and not torch.is_grad_enabled()
        and not compiling()
        and x.dtype == block.fc1.weight.dtype == dtype_for(x)
    )


def compute_fused_block(block: Any, x: torch.Tensor) -> torch.Tensor:
    """Runs a fused block; see :func:`.fused_form.compute_fused`. Imports Triton.

    The block caches the transposed taps of its convolutions until their weights change, except
    through ``.data``.
    """
    from .fused_form import compute_fused, taps_of, weights_of

    weights = weights_of(block)
    if any(weight.is_inference() for weight in weights):  # whose changes are not counted
        return compute_fused(x, block, taps_of(block))
    state = [(weight.data_ptr(), weight._version, weight.dtype) for weight in weights]
    if block.taps is None or block.taps[0] != state:
        block.taps = (state, taps_of(block))
    return compute_fused(x, block, block.taps[1])
