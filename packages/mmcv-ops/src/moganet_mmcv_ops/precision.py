"""The dtype that an operator computes in."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Keeps torchvision's operators from casting to float32 and back under autocast.

    mmcv's operators compute in the dtype of their input.
    """
    kind = tensor.device.type
    if kind in ('cpu', 'cuda', 'xpu'):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, else float32: for sums and logarithms of half-precision numbers."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def kernel_dtype(dtype: torch.dtype) -> torch.dtype:
    """What torchvision's kernels compute a tensor of this dtype in: bfloat16 they do not have."""
    return torch.float32 if dtype == torch.bfloat16 else dtype
