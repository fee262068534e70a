"""The kernels one by one, to be timed and verified on their own; a block calls ``branches.py``.

Maps are (B, C, H, W) in channels_last and one dtype; weights and biases are PyTorch's. Taps are
weights of depth-wise convolutions as the kernels read them, see :func:`turned`.

Forward: ``calls.depthwise``, ``calls.context``, ``calls.projected``, ``calls.gated``,
``calls.residual``. Backward: :func:`depthwise_backward`, :func:`context_backward`,
:func:`gating_backward`. ``calls.py`` has the arguments of each.
"""

import torch

from . import calls, launchers
from .calls import context, depthwise, gated, projected, residual
from .launching import splits_of

__all__ = [
    'context',
    'context_backward',
    'depthwise',
    'depthwise_backward',
    'gated',
    'gating_backward',
    'projected',
    'residual',
    'turned',
]

Tensor = torch.Tensor


def turned(weight: Tensor) -> Tensor:
    """Taps of a depth-wise weight (C, 1, k, k): (k * k, C), float32."""
    return weight.flatten(1).t().float().contiguous()


def depthwise_backward(
    grad: Tensor, x: Tensor, taps: Tensor, kernel: int, dilation: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by input, weight (C, 1, k, k) and bias of a depth-wise convolution."""
    channels, area = x.shape[1], kernel * kernel
    to_x, _ = calls.depthwise(grad, taps, None, kernel, dilation, flipped=True)
    shares = launchers.gradient_shares(x.shape, kernel)
    partial = x.new_empty((shares, channels * (area + 1)), dtype=torch.float32)
    calls.weight_gradient(grad, x, kernel, dilation, partial)
    flat = x.new_empty(channels * (area + 1), dtype=torch.float32)
    calls.row_sums((partial,), flat)
    weight, bias = flat.split([channels * area, channels])
    return to_x, weight.view(channels, 1, kernel, kernel), bias


def context_backward(
    grad: Tensor, u0: Tensor, taps_1: Tensor, taps_2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients by the input, and by weight and bias of the 5x5 and the 7x7 of the context."""
    middle, high = taps_1.shape[1], taps_2.shape[1]
    to_u0 = calls.context(grad, taps_1, None, taps_2, None, flipped=True)
    shares = launchers.context_gradient_shares(u0.shape)
    partial = u0.new_empty((shares, 26 * middle + 50 * high), dtype=torch.float32)
    calls.context_weight_gradient(grad, u0, partial)
    flat = u0.new_empty(26 * middle + 50 * high, dtype=torch.float32)
    calls.row_sums((partial,), flat)
    weight_1, bias_1, weight_2, bias_2 = flat.split([25 * middle, middle, 49 * high, high])
    return to_u0, weight_1.view(-1, 1, 5, 5), bias_1, weight_2.view(-1, 1, 7, 7), bias_2


def gating_backward(grad: Tensor, g: Tensor, v: Tensor, double: bool) -> tuple[Tensor, Tensor]:
    """Gradients by G and V of A = SiLU(G) SiLU(V), or SiLU twice on each, from that by A."""
    grad_g, grad_v, a = torch.empty_like(g), torch.empty_like(v), torch.empty_like(grad)
    shares = splits_of(g.numel() // g.shape[1], 16)
    partial = g.new_empty((shares, 2 * g.shape[1]), dtype=torch.float32)
    calls.gating_backward(grad, g, v, grad_g, grad_v, a, partial, double)
    return grad_g, grad_v
