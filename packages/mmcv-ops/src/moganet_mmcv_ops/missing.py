"""What stands for an operator that PyTorch and torchvision have no equivalent of."""

from collections.abc import Callable

import torch
import torchvision

COMPILE = 'python -m moganet_mmcv_ops.compile_mmcv'


def missing_operator(name: str) -> Callable:
    """A function that raises NotImplementedError with the way to a compiled mmcv.

    Args:
        name: of the operator in mmcv's extension.
    """

    def operator(*args, **kwargs):
        raise NotImplementedError(
            f'mmcv operator {name} needs a compiled mmcv, and this one has its operators from '
            f'torchvision; with a C++ compiler (and nvcc for a GPU): {COMPILE}'
        )

    operator.__name__ = operator.__qualname__ = name
    return operator


def get_compiler_version() -> str:
    """In place of the C++ compiler's version: what serves the operators."""
    return f'none, operators by torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """The CUDA version that torch (and torchvision's operators) were built for."""
    return torch.version.cuda or 'not available'
