"""Convolutions that keep less for backward, and one that computes faster.

:func:`convs_of` computes convolutions of a cheap function. PyTorch would keep the function's
arguments and its value for backward; here only the arguments are kept, and the value is
computed again. docs/speed.md counts what that saves.

Every gradient is written in differentiable operations, so that gradients of gradients are
right, and computed in the precision that autocast chose for the forward pass.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function

from .tracing import compiling, exporting

Tensors = tuple[torch.Tensor, ...]


class Cheap(Protocol):
    """A function that is cheaper to compute again than to keep."""

    @property
    def value(self) -> Callable[..., torch.Tensor]:
        """Its value, from its arguments."""

    @property
    def gradient(self) -> Callable[..., Tensors]:
        """Gradient by each argument, from the one by the value and the arguments."""


class Gelu:
    """GELU(x)."""

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    def gradient(self, grad: torch.Tensor, x: torch.Tensor) -> Tensors:
        return (torch.ops.aten.gelu_backward(grad, x),)


class Silu:
    """SiLU(x) = x sigmoid(x)."""

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(x)

    def gradient(self, grad: torch.Tensor, x: torch.Tensor) -> Tensors:
        return (_silu_backward(grad, x),)


class Gating:
    """SiLU(g) * SiLU(v); in float32 where the arguments are float16.

    The product of two moderate factors is beyond float16 (300 * 300 > 65504), and so may be
    the sum over channels that follows: the convolution is then computed in float32 too.
    """

    def value(self, g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        g, v = _at_least_bfloat16(g, v)
        return F.silu(g) * F.silu(v)

    def gradient(self, grad: torch.Tensor, g: torch.Tensor, v: torch.Tensor) -> Tensors:
        g, v = _at_least_bfloat16(g, v)
        return _silu_backward(grad * F.silu(v), g), _silu_backward(grad * F.silu(g), v)


class DoubleGating(Gating):
    """SiLU(SiLU(g)) * SiLU(SiLU(v)), guarded as :class:`Gating`."""

    def value(self, g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return super().value(F.silu(g), F.silu(v))

    def gradient(self, grad: torch.Tensor, g: torch.Tensor, v: torch.Tensor) -> Tensors:
        to_g, to_v = super().gradient(grad, F.silu(g), F.silu(v))
        return _silu_backward(to_g, g), _silu_backward(to_v, v)


class Interleaved(NamedTuple):
    """The n * n images that every n-th row and column make, as a batch; zeros at the end.

    (B, C, H, W) to (B n n, C, ceil(H / n), ceil(W / n)).
    """

    n: int

    def value(self, x: torch.Tensor) -> torch.Tensor:
        n, (batch, channels, height, width) = self.n, x.shape
        rows, columns = -(-height // n), -(-width // n)
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C): the order of channels_last in memory
        x = F.pad(x, (0, 0, 0, columns * n - width, 0, rows * n - height))
        x = x.reshape(batch, rows, n, columns, n, channels).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)

    def inverse(self, y: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The image of this height and width whose value is ``y``."""
        n, (parts, channels, rows, columns) = self.n, y.shape
        y = y.permute(0, 2, 3, 1).reshape(parts // (n * n), n, n, rows, columns, channels)
        y = y.permute(0, 3, 1, 4, 2, 5).reshape(-1, rows * n, columns * n, channels)
        return y[:, :height, :width].permute(0, 3, 1, 2)

    def gradient(self, grad: torch.Tensor, x: torch.Tensor) -> Tensors:
        return (self.inverse(grad, *x.shape[2:]),)


class Geometry(NamedTuple):
    """What a convolution of stride 1 needs besides weight and bias."""

    padding: tuple[int, int] = (0, 0)
    groups: int = 1


class ConvsOf(Function):
    """See :func:`convs_of`; takes the weights, then the biases of the convolutions."""

    @staticmethod
    def forward(
        ctx: Any, cheap: Cheap, geometries: Sequence[Geometry], *tensors: torch.Tensor
    ) -> Tensors:
        arguments, weights, biases = _unpacked(tensors, len(geometries))
        ctx.cheap, ctx.geometries = cheap, geometries
        ctx.save_for_backward(*arguments, *weights)
        return _convolved(cheap, geometries, arguments, weights, biases)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        count = len(ctx.geometries)
        saved = ctx.saved_tensors  # read once: checkpointing allows no more
        arguments, weights = saved[:-count], saved[-count:]
        needed = ctx.needs_input_grad[2:]
        needs = zip(needed[-2 * count : -count], needed[-count:], strict=True)
        value = ctx.cheap.value(*arguments)
        to_value, to_weights, to_biases = None, [], []
        for grad, weight, at, need in zip(grads, weights, ctx.geometries, needs, strict=True):
            part, to_weight, to_bias = torch.ops.aten.convolution_backward(
                grad, value.to(grad.dtype), weight.to(grad.dtype), [len(weight)], [1, 1],
                at.padding, [1, 1], False, [0, 0], at.groups, [any(needed[:-2 * count]), *need],
            )  # fmt: skip
            to_value = part if to_value is None else to_value + part
            to_weights.append(_like(to_weight, weight))
            to_biases.append(_like(to_bias, weight))
        to_arguments: Iterable[torch.Tensor | None] = [None] * len(arguments)
        if to_value is not None:
            to_arguments = map(_like, ctx.cheap.gradient(to_value, *arguments), arguments)
        return None, None, *to_arguments, *to_weights, *to_biases


def convs_of(cheap: Cheap, arguments: Sequence[torch.Tensor], *convs: nn.Conv2d) -> Tensors:
    """What each of ``convs`` gives for ``cheap.value(*arguments)``.

    Args:
        cheap: the function that is computed again in backward.
        arguments: its arguments, (B, C, H, W); they alone are kept for backward.
        convs: convolutions of stride 1 and dilation 1 with a bias.
    """
    if not torch.is_grad_enabled() or exporting():
        value = cheap.value(*arguments)
        if value.dtype == arguments[0].dtype:  # else the convolutions have to be guarded too
            return tuple(conv(value) for conv in convs)
    geometries, weights, biases = _parts(convs)
    return _apply(cheap, geometries, *arguments, *weights, *biases)


def plain_convs_of(cheap: Cheap, arguments: Sequence[torch.Tensor], *convs: nn.Conv2d) -> Tensors:
    """The same as :func:`convs_of` in PyTorch's operations alone, which keep what they like."""
    geometries, weights, biases = _parts(convs)
    return _convolved(cheap, geometries, arguments, weights, biases)


def conv1x1_of(
    cheap: Cheap, argument: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """A 1x1 convolution of ``cheap.value(argument)``; see :func:`convs_of`."""
    return _apply(cheap, [Geometry()], argument, weight, bias)[0]


def dilated_depthwise(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """``conv(x)`` for a depth-wise ``conv`` that keeps height and width.

    A convolution of dilation n never mixes pixels whose rows or columns differ modulo n:
    each of the n * n interleaved images can be convolved alone, without dilation. On CPUs
    that is several times faster, forward and backward; and with channels last in bfloat16
    oneDNN's gradient by a dilated weight is wrong (PyTorch 2.1 to 2.10): it takes in memory
    that nobody has written. A file that is exported keeps the one convolution: those who run
    it have kernels of their own.
    """
    if x.device.type != 'cpu' or exporting():
        return conv(x)
    (n, _), (height, width) = conv.dilation, x.shape[2:]
    (at,), (weight,), (bias,) = _parts([conv])
    at = at._replace(padding=(at.padding[0] // n, at.padding[1] // n))
    (y,) = _apply(Interleaved(n), [at], x, weight, bias)
    return Interleaved(n).inverse(y, height, width)


def bias_of(conv: nn.Conv2d) -> torch.Tensor:
    """The bias of a convolution that has one."""
    return cast(torch.Tensor, conv.bias)


def _parts(
    convs: Sequence[nn.Conv2d],
) -> tuple[list[Geometry], list[torch.Tensor], list[torch.Tensor]]:
    """Geometries, weights and biases of convolutions that have a bias."""
    geometries = [Geometry(cast(tuple[int, int], conv.padding), conv.groups) for conv in convs]
    return geometries, [conv.weight for conv in convs], [bias_of(conv) for conv in convs]


def _apply(cheap: Cheap, geometries: Sequence[Geometry], *tensors: torch.Tensor) -> Tensors:
    # a compiler finds what to recompute, and a file holds no Function of ours
    if torch.is_grad_enabled() and not compiling() and not exporting():
        return ConvsOf.apply(cheap, geometries, *tensors)
    return _convolved(cheap, geometries, *_unpacked(tensors, len(geometries)))


def _unpacked(tensors: Tensors, convs: int) -> tuple[Tensors, Tensors, Tensors]:
    """Arguments, weights and biases."""
    return tensors[: -2 * convs], tensors[-2 * convs : -convs], tensors[-convs:]


def _convolved(
    cheap: Cheap,
    geometries: Sequence[Geometry],
    arguments: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
) -> Tensors:
    value = cheap.value(*arguments)
    guarded = value.dtype != arguments[0].dtype  # then autocast must not undo it
    with torch.autocast(value.device.type, enabled=False) if guarded else nullcontext():
        if guarded:
            weights, biases = ([t.to(value.dtype) for t in part] for part in (weights, biases))
        return tuple(
            F.conv2d(value, weight, bias, padding=at.padding, groups=at.groups)
            for weight, bias, at in zip(weights, biases, geometries, strict=True)
        )


def _at_least_bfloat16(*tensors: torch.Tensor) -> Tensors:
    """float16 as float32; other dtypes have the range of float32, and stay."""
    return tuple(t.float() if t.dtype == torch.float16 else t for t in tensors)


def _like(grad: torch.Tensor | None, tensor: torch.Tensor) -> torch.Tensor | None:
    return None if grad is None else grad.to(tensor.dtype)


def _silu_backward(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of SiLU; written out where it has to be differentiable itself."""
    if not torch.is_grad_enabled() or exporting():
        return torch.ops.aten.silu_backward(grad.to(x.dtype), x)
    s = torch.sigmoid(x)
    return grad * s * (1 + x * (1 - s))
