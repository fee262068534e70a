"""Gradient checkpointing of a block with batch norms, without changing the result."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def still_statistics(module: nn.Module) -> Iterator[None]:
    """Context in which the batch norms of ``module`` do not update their running statistics.

    The forward pass is run a second time in backward; without this the running mean and variance
    would be updated twice per batch. Momentum 0 leaves them unchanged while the same tensors are
    saved for backward, as recomputation requires.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=False):
            norm.momentum, norm.num_batches_tracked = momentum, count


def checkpointed(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``block(x)``, keeping only ``x`` for backward; same output, gradients and statistics."""
    return checkpoint(
        block,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), still_statistics(block)),
    )
