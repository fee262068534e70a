"""Compiling the backbone for training, one function for all blocks of a stage.

torch.compile of a whole backbone compiles every block anew, and takes minutes for the large
sizes. The blocks of a stage are the same function of tensors of the same shapes: each stage gets
one compilation, used by all of its blocks. When images of another size come, it is compiled once
more for any size.
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
    """Lets the blocks of a backbone compute through torch.compile, in place.

    Their code is compiled when a stage runs for the first time. A stage that cannot be compiled
    computes as before, after one warning.

    Args:
        net: the backbone, not fused.
        backend: as torch.compile has it.

    Returns:
        whether PyTorch can compile here at all; if not, one warning says why, and the backbone
        is as it was.

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
        backend: as torch.compile has it.
    """

    def __init__(self, number: int, backend: str | Any) -> None:
        self.number = number
        # Dynamo counts compilations, and which sizes vary, by code object and its name: one for
        # each stage, or the channels of the next stage would count as sizes that vary.
        code, name = MogaBlock.computed.__code__, f'computed_in_stage_{number}'
        function = FunctionType(code.replace(co_name=name), MogaBlock.computed.__globals__, name)
        self.compiled: Callable[..., torch.Tensor] | None = torch.compile(
            function, fullgraph=True, backend=backend
        )

    def __deepcopy__(self, memo: dict) -> 'CompiledStage':
        """Copies of a model, as a moving average, share what is compiled."""
        return self

    def __call__(
        self, block: MogaBlock, x: torch.Tensor, kept_1: torch.Tensor, kept_2: torch.Tensor
    ) -> torch.Tensor:
        """What the block computes."""
        if self.compiled is None:
            return block.computed(x, kept_1, kept_2)
        try:
            return self.compiled(block, x, kept_1, kept_2)
        except torch._dynamo.exc.TorchDynamoException as error:  # before anything is computed
            self.compiled = None
            _warn(f'stage {self.number} is not compiled ({_line(error)})')
            return block.computed(x, kept_1, kept_2)


def _missing(device: torch.device, backend: str | Any) -> str | None:
    """Why PyTorch cannot compile for a device, found by compiling a small function."""
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 5):
        return f'it needs torch 2.5 or later, found {torch.__version__}'
    try:
        x = torch.ones(2, device=device, requires_grad=True)
        torch.compile(torch.sin, backend=backend)(x).sum().backward()
    except Exception as error:  # no compiler, no Triton, an unknown Python: no common class
        return _line(error)
    return None


def _line(error: Exception) -> str:
    text = ' '.join(str(error).partition('\n\n')[0].split())  # after that comes advice for experts
    return f'{type(error).__name__}: {text[:200]}'


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)
