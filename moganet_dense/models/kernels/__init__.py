"""Fused kernels for NVIDIA GPUs, in Triton, and the decision whether they serve.

The kernels are off unless the environment variable ``MOGANET_KERNELS`` is 1: they have not
been measured on a GPU yet. docs/speed.md says what each of them moves.
"""

from typing import Any

import torch
import torch.nn as nn

from ..tracing import compiling
from .choice import Implementation, implementation_for, reason_against, unavailable, use_kernels

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
    """Why the kernels do not serve a MogaBlock; None where they do."""
    if block.mlp.drop.p > 0 and block.training:
        return 'dropout in the FFN, which draws on the wide map'
    for norm in (block.norm1, block.norm2):
        if type(norm) is not nn.BatchNorm2d:
            return f'a norm of type {type(norm).__name__}: they compute BatchNorm2d'
        if norm.weight is None or norm.running_mean is None or norm.momentum is None:
            return 'a batch norm without weight, running statistics or momentum'
    return None


def block_served(block: Any) -> bool:
    """Whether the kernels serve a MogaBlock."""
    return reason_against_block(block) is None


def compute_block(
    block: Any, x: torch.Tensor, kept_1: torch.Tensor | None, kept_2: torch.Tensor | None
) -> torch.Tensor:
    """What a MogaBlock computes; see :func:`.block.compute_block`. Imports Triton."""
    from .block import compute_block

    return compute_block(block, x, kept_1, kept_2)


def fused_block_served(block: Any, x: torch.Tensor) -> bool:
    """Whether the kernels serve a fused block: in inference, in the dtype of its weights."""
    return (
        implementation_for(x) is Implementation.KERNELS
        and not torch.is_grad_enabled()
        and not compiling()
        and not torch.is_autocast_enabled(x.device.type)
        and x.dtype == block.fc1.weight.dtype
    )


def compute_fused_block(block: Any, x: torch.Tensor) -> torch.Tensor:
    """What a fused block computes; see :func:`.fused_form.compute_fused`. Imports Triton.

    The block keeps the turned taps of its convolutions until their weights change, unless by way
    of ``.data``.
    """
    from .fused_form import compute_fused, taps_of, weights_of

    weights = weights_of(block)
    if any(weight.is_inference() for weight in weights):  # whose changes are not counted
        return compute_fused(block, x, taps_of(block))
    state = [(weight.data_ptr(), weight._version, weight.dtype) for weight in weights]
    if block.taps is None or block.taps[0] != state:
        block.taps = (state, taps_of(block))
    return compute_fused(block, x, block.taps[1])
