"""Depth-wise convolutions alone: errors against float64, and time beside PyTorch's and the floor.

The floor of a forward pass is one read and one write of a map at the bandwidth of a copy; of all
gradients, two reads (the input, the gradient by the output) and one write.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from moganet_dense.models.kernels import use_kernels

from .backbones import LAYOUTS
from .correctness import DTYPES, without_tf32
from .measure import Machine

KINDS = ((5, 1), (5, 2), (7, 3), (3, 1))  # kernel size and dilation: all that MogaNet has
MAPS = ((2, 64, 200, 320), (2, 320, 50, 80), (128, 320, 14, 14))
TINY_MAPS = ((2, 16, 9, 11),)
ODD = ((2, 40, 37, 53), (1, 24, 9, 7), (3, 512, 1, 3))
COPIES = 256 * 2**20  # bytes of inputs in turn: more than the second level cache holds


@dataclass(frozen=True)
class Case:
    """One convolution: the map's shape, kernel size, dilation and dtype."""

    shape: tuple[int, int, int, int]
    size: int
    dilation: int
    dtype: str = 'bf16'

    @property
    def name(self) -> str:
        shape = 'x'.join(map(str, self.shape))
        return f'{self.size}x{self.size}, dilation {self.dilation}, {shape}, {self.dtype}'

    def tensors(
        self, device: str, dtype: torch.dtype, layout: str, seed: int = 0
    ) -> tuple[torch.Tensor, ...]:
        """Map, weight, bias, and a gradient by the output."""
        drawn = torch.Generator().manual_seed(seed)
        channels = self.shape[1]
        shapes = self.shape, (channels, 1, self.size, self.size), (channels,), self.shape
        x, weight, bias, grad = (torch.randn(s, generator=drawn).to(device, dtype) for s in shapes)
        x, grad = (t.contiguous(memory_format=LAYOUTS[layout]) for t in (x, grad))
        return x, weight / self.size, bias, grad


def error_cases(tiny: bool) -> list[Case]:
    """Odd sizes in each dtype."""
    maps = TINY_MAPS if tiny else ODD
    return [Case(m, *kind, dtype) for dtype in DTYPES for kind in KINDS for m in maps]


def timed_cases(tiny: bool) -> list[Case]:
    return [Case(m, *kind) for m in (TINY_MAPS if tiny else MAPS) for kind in KINDS]


def convolved(case: Case, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
    """PyTorch's convolution, which is cuDNN's or its own."""
    padding = case.dilation * (case.size - 1) // 2
    return F.conv2d(x, weight, bias, 1, padding, case.dilation, case.shape[1])


def fused(case: Case, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
    """Our kernels', as a branch of a block calls them, without what rides along there."""
    try:
        from moganet_dense.models.kernels import calls  # noqa: F401
    except ImportError:
        raise RuntimeError('this version has no kernel for a depth-wise convolution') from None
    return _Fused.apply(x, weight, bias, case.size, case.dilation)


class _Fused(torch.autograd.Function):
    """Forward pass and all gradients by our kernels."""

    @staticmethod
    def forward(ctx, x, weight, bias, size: int, dilation: int) -> torch.Tensor:
        from moganet_dense.models.kernels import calls

        if not hasattr(weight, 'taps'):  # prepared once in a training step
            weight.taps = weight.detach().flatten(1).t().float().contiguous(), bias.detach().float()
        ctx.taps, ctx.size, ctx.dilation = weight.taps[0], size, dilation
        ctx.dtype = weight.dtype
        ctx.save_for_backward(x)
        return calls.depthwise(x, *weight.taps, size, dilation)[0]

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        from moganet_dense.models.kernels import parts

        (x,) = ctx.saved_tensors
        to_x, to_weight, to_bias = parts.depthwise_backward(
            grad, x, ctx.taps, ctx.size, ctx.dilation
        )
        return to_x, to_weight.to(ctx.dtype), to_bias.to(ctx.dtype), None, None


def errors(case: Case, machine: Machine) -> dict:
    """Errors of output and gradients of our kernel and of PyTorch's, as parts of the largest."""
    dtype = DTYPES[case.dtype]
    given = case.tensors(machine.device, dtype, 'channels_last')
    wanted = _outputs(case, convolved, [t.double() for t in given])
    with without_tf32(), use_kernels():
        ours = _outputs(case, fused, given)
    with without_tf32():
        theirs = _outputs(case, convolved, given)
    names = ('output', 'by_input', 'by_weight', 'by_bias')
    result = dict(zip(names, _errors(ours, wanted), strict=True))
    return dict(result, pytorch=max(_errors(theirs, wanted)), ours=max(result.values()))


def _outputs(case: Case, function: Callable, given) -> list[torch.Tensor]:
    x, weight, bias = (t.detach().requires_grad_() for t in given[:3])
    y = function(case, x, weight, bias)
    return [y.detach(), *torch.autograd.grad(y, [x, weight, bias], given[3])]


def _errors(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> list[float]:
    return [
        ((a.double() - b).abs().max() / b.abs().max()).item()
        for a, b in zip(found, wanted, strict=True)
    ]


def timed(case: Case, machine: Machine) -> dict:
    """Microseconds forward, and of all gradients, in both of PyTorch's layouts and of ours."""
    found = {}
    for layout in LAYOUTS:
        found[f'pytorch, {layout}'] = _both(case, convolved, layout, machine)
    try:
        with use_kernels():
            found['ours'] = _both(case, fused, 'channels_last', machine)
    except Exception as error:  # PyTorch's figures stay
        found['ours'] = dict(error=f'{type(error).__name__}: {error}')
    size = torch.finfo(DTYPES[case.dtype]).bits // 8
    pixels = case.shape[0] * case.shape[2] * case.shape[3]
    return dict(kernels=found, map_bytes=size * pixels * case.shape[1])


def _both(case: Case, function: Callable, layout: str, machine: Machine) -> dict[str, float]:
    """Forward pass alone; gradients are what forward and backward together take more.

    Our weights are float32, as in training under autocast: their gradients need no cast.
    """
    first = case.tensors(machine.device, DTYPES[case.dtype], layout)
    if function is fused:
        first = (first[0], first[1].float(), first[2].float(), first[3])
    map_bytes = first[0].numel() * first[0].element_size()
    count = 1 if machine.device == 'cpu' else min(20, max(4, COPIES // (3 * map_bytes)))
    inputs = [first, *(tuple(t.clone() for t in first) for _ in range(count - 1))]
    for given in inputs:
        for tensor in given[:3]:
            tensor.requires_grad_()

    def forward(given) -> None:
        with torch.no_grad():
            function(case, *given[:3])

    def step(given) -> None:
        torch.autograd.grad(function(case, *given[:3]), given[:3], given[3])

    us = machine.kernel_us([lambda given=given: forward(given) for given in inputs])
    both = machine.kernel_us([lambda given=given: step(given) for given in inputs])
    return dict(forward_us=us, gradients_us=both - us)
