"""Convolutions that keep less for backward, and one that computes faster. Same functions.

:class:`ConvsOf` computes convolutions of a cheap element-wise function. PyTorch keeps both
the function's argument and its value for backward; here the value is computed again from
the argument. docs/speed.md counts what is kept.

Every backward is written in differentiable operations, so that gradients of gradients are
right, and works in whatever precision autocast chose for the forward pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function

Tensors = tuple[torch.Tensor, ...]


class Gelu:
    """GELU(x)."""

    @staticmethod
    def value(x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    @staticmethod
    def gradient(grad: torch.Tensor, x: torch.Tensor) -> Tensors:
        return (torch.ops.aten.gelu_backward(grad, x),)


class Silu:
    """SiLU(x) = x sigmoid(x)."""

    @staticmethod
    def value(x: torch.Tensor) -> torch.Tensor:
        return F.silu(x)

    @staticmethod
    def gradient(grad: torch.Tensor, x: torch.Tensor) -> Tensors:
        return (_silu_backward(grad, x),)


class Gating:
    """SiLU(g) * SiLU(v), the gating of Moga.

    In float16 the product of two moderate factors overflows (300 * 300 > 65504): it is
    computed in float32, and what float16 cannot hold becomes its largest finite number.
    """

    @staticmethod
    def value(g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return _saturated(F.silu(g), F.silu(v))

    @staticmethod
    def gradient(grad: torch.Tensor, g: torch.Tensor, v: torch.Tensor) -> Tensors:
        a, b = F.silu(g), F.silu(v)
        return _silu_backward(grad * b, g), _silu_backward(grad * a, v)


class DoubleGating:
    """SiLU(SiLU(g)) * SiLU(SiLU(v)), the other gate; guarded as :class:`Gating`."""

    @staticmethod
    def value(g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return Gating.value(F.silu(g), F.silu(v))

    @staticmethod
    def gradient(grad: torch.Tensor, g: torch.Tensor, v: torch.Tensor) -> Tensors:
        inner = Gating.gradient(grad, F.silu(g), F.silu(v))
        return _silu_backward(inner[0], g), _silu_backward(inner[1], v)


class Geometry(NamedTuple):
    """What a convolution of stride 1 needs to know beside its weights."""

    padding: tuple[int, int] = (0, 0)
    groups: int = 1


class ConvsOf(Function):
    """Convolutions of an element-wise function, of which only the arguments are kept."""

    @staticmethod
    def forward(ctx, pointwise, geometries: Sequence[Geometry], *tensors) -> Tensors:
        convs = len(geometries)
        arguments, weights = tensors[: -2 * convs], tensors[-2 * convs : -convs]
        biases = tensors[-convs:]
        ctx.pointwise, ctx.geometries = pointwise, geometries
        ctx.save_for_backward(*arguments, *weights)
        value = pointwise.value(*arguments)
        return tuple(
            F.conv2d(value, weight, bias, padding=at.padding, groups=at.groups)
            for weight, bias, at in zip(weights, biases, geometries, strict=True)
        )

    @staticmethod
    def backward(ctx, *grads):
        convs = len(ctx.geometries)
        saved = ctx.saved_tensors  # once: checkpointing counts
        arguments, weights = saved[:-convs], saved[-convs:]
        dtype = grads[0].dtype  # that of the forward pass under autocast
        value = ctx.pointwise.value(*arguments).to(dtype)
        grad_value, grad_weights, grad_biases = None, [], []
        for grad, weight, at in zip(grads, weights, ctx.geometries, strict=True):
            to_value, to_weight, to_bias = torch.ops.aten.convolution_backward(
                grad, value, weight.to(dtype), [len(weight)], [1, 1], at.padding, [1, 1],
                False, [0, 0], at.groups, [True, True, True],
            )  # fmt: skip
            grad_value = to_value if grad_value is None else grad_value + to_value
            grad_weights.append(to_weight.to(weight.dtype))
            grad_biases.append(to_bias.to(weight.dtype))
        grad_arguments = ctx.pointwise.gradient(grad_value, *arguments)
        return None, None, *grad_arguments, *grad_weights, *grad_biases


def convs_of(pointwise, arguments: Sequence[torch.Tensor], *convs: nn.Conv2d) -> Tensors:
    """The result of each of ``convs``, of stride 1, on ``pointwise.value(*arguments)``."""
    geometries = [Geometry(conv.padding, conv.groups) for conv in convs]
    weights, biases = [conv.weight for conv in convs], [conv.bias for conv in convs]
    return ConvsOf.apply(pointwise, geometries, *arguments, *weights, *biases)


def conv1x1_of(pointwise, argument: torch.Tensor, weight, bias) -> torch.Tensor:
    """A 1x1 convolution of ``pointwise.value(argument)``."""
    return ConvsOf.apply(pointwise, [Geometry()], argument, weight, bias)[0]


def dilated_depthwise(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """``conv(x)`` for a depth-wise ``conv`` of size k and dilation n that keeps the size.

    A convolution of dilation n never mixes pixels whose coordinates differ modulo n: each
    of the n * n interleaved pictures is convolved alone, as a batch, without dilation.
    CPU libraries are five to ten times faster at that.
    """
    n = conv.dilation[0]
    if x.device.type != 'cpu' or n == 1:
        return conv(x)
    batch, channels, height, width = x.shape
    rows, columns = -(-height // n), -(-width // n)
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, columns * n - width, 0, rows * n - height))
    x = x.reshape(batch, rows, n, columns, n, channels).permute(0, 2, 4, 1, 3, 5)
    x = x.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
    padding = conv.padding[0] // n
    y = F.conv2d(x, conv.weight, conv.bias, padding=padding, groups=channels)
    y = y.permute(0, 2, 3, 1).reshape(batch, n, n, rows, columns, channels)
    y = y.permute(0, 3, 1, 4, 2, 5).reshape(batch, rows * n, columns * n, channels)
    return y[:, :height, :width].permute(0, 3, 1, 2)


def _saturated(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a * b``; in float16 held within the finite numbers."""
    if a.dtype != torch.float16:
        return a * b
    bound = torch.finfo(a.dtype).max
    return (a.float() * b.float()).clamp(-bound, bound).to(a.dtype)


def _silu_backward(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of SiLU; differentiable where it has to be."""
    if not torch.is_grad_enabled():
        return torch.ops.aten.silu_backward(grad.to(x.dtype), x)
    s = torch.sigmoid(x)
    return grad * s * (1 + x * (1 - s))
