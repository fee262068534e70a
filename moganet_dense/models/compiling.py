"""Compiling the backbone for training, one function for all blocks of a stage.

torch.compile of a complete backbone compiles every block separately, and takes minutes for the
large sizes. The blocks of a stage are the same function of tensors of the same shapes: each stage
gets one compilation, used by all of its blocks. For images of another size it is compiled once more
with dynamic sizes.
"""

import logging
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, cast

import torch
from mmengine.logging import print_log

from .blocks import MogaBlock
from .moganet import STAGES, MogaNet


def compile_blocks(net: MogaNet, backend: str | Any = 'inductor') -> bool:
    """Compiles the blocks of a backbone with torch.compile, in place.

    Their code is compiled when a stage runs for the first time. A stage that cannot be compiled
    runs uncompiled, after one warning.

    Args:
        net: the backbone, not fused.
        backend: of torch.compile.

    Returns:
        whether PyTorch can compile on this system; if not, one warning has the reason, and the
        backbone is unchanged.

    Raises:
        ValueError: the backbone is fused.
    """
    if net.deployed:
        raise ValueError('compile_blocks() is for training, the backbone is fused')
    if reason := _missing(next(net.parameters()).device, backend):
        _warn(f'the backbone is not compiled: {reason}')
        return False
    for i in range(STAGES):
        compiled = CompiledStage(i + 1, backend)
        for block in cast(Iterable[MogaBlock], net.stage(i)[1]):
            block.compute = compiled
    return True


class CompiledStage:
    """:meth:`MogaBlock.computed`, compiled for the blocks of one stage.

    Args:
        number: of the stage, from 1.
        backend: of torch.compile.
    """

    def __init__(self, number: int, backend: str | Any) -> None:
        self.number = number
        # Dynamo counts compilations, and which sizes vary, by code object and its name: one for
        # each stage, or the channels of the next stage would count as dynamic sizes.
        code, name = MogaBlock.computed.__code__, f'computed_in_stage_{number}'
        function = FunctionType(code.replace(co_name=name), MogaBlock.computed.__globals__, name)
        self.compiled: Callable[..., torch.Tensor] | None = torch.compile(
            function, fullgraph=True, backend=backend
        )

    def __deepcopy__(self, memo: dict) -> 'CompiledStage':
        """Copies of a model, such as a moving average, share the compiled code."""
        return self

    def __call__(
        self, block: MogaBlock, x: torch.Tensor, kept_1: torch.Tensor, kept_2: torch.Tensor
    ) -> torch.Tensor:
        """Runs the block."""
        if self.compiled is None:
            return block.computed(x, kept_1, kept_2)
        try:
            return self.compiled(block, x, kept_1, kept_2)
        except torch._dynamo.exc.TorchDynamoException as error:  # before anything is computed
            self.compiled = None
            _warn(f'stage {self.number} is not compiled ({_line(error)})')
            return block.computed(x, kept_1, kept_2)


def _missing(device: torch.device, backend: str | Any) -> str | None:
    """The reason why PyTorch cannot compile for a device, by compiling a small function."""
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 5):
        return f'it needs torch 2.5 or later, found {torch.__version__}'
    try:
        x = torch.ones(2, device=device, requires_grad=True)
        torch.compile(torch.sin, backend=backend)(x).sum().backward()
    except (
        Exception
    ) as error:  # no compiler, no Triton, an unsupported Python: no common base class
        return _line(error)
    return None


def _line(error: Exception) -> str:
    text = ' '.join(str(error).partition('\n\n')[0].split())  # followed by advice for developers
    return f'{type(error).__name__}: {text[:200]}'


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)
