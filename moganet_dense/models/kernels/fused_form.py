"""A fused block by way of the kernels, in inference: 9 launches, in float16 10."""

from typing import Any

import torch

from . import branches, calls
from .launching import launches, on_its_device
from .parts import turned

Tensor = torch.Tensor


@on_its_device
def compute_fused(x: Tensor, block: Any, taps: tuple[Tensor, ...]) -> Tensor:
    """What a fused block computes for a map in the dtype of its weights.

    Args:
        x: the map, (B, C, H, W) in channels_last.
        block: the block, a DeployedBlock.
        taps: of its depth-wise convolutions, from :func:`taps_of`.
    """
    value, double = block.value, type(block.gating).__name__ == 'DoubleGating'
    launches.note('mean')
    x_mean = x.mean((2, 3), dtype=torch.float32)
    u, _, _ = calls.projected(
        x, block.proj_1.weight, block.proj_1.bias, None, x_mean, False, block.mean.weight
    )
    u0, _ = calls.depthwise(u, taps[0], value.DW_conv0.bias, 5)
    context = calls.context(u0, taps[1], value.DW_conv1.bias, taps[2], value.DW_conv2.bias)
    a, _, _ = calls.gated(
        u, context, (block.gate.weight, block.gate.bias),
        (value.PW_conv.weight, value.PW_conv.bias), double, False,
    )  # fmt: skip
    weight = block.proj_2.weight.flatten(1)
    if weight.dtype != a.dtype:  # float16: guarded
        launches.note('cast')
        weight = weight.to(a.dtype)
    x, _ = calls.residual(a, weight, block.proj_2.bias, x, x.dtype, excess=block.excess_1)
    h = branches.hidden_of(x, block.fc1.weight.flatten(1), block.fc1.bias)
    t, _ = calls.depthwise(h, taps[3], block.dwconv.bias, 3, gelu=True)
    rows, biases = block.fc2.weight.flatten(1), block.fc2.bias
    y, _ = calls.residual(
        t, rows, biases, x, x.dtype, excess=block.excess_2,
        row=(rows[-1], biases[-1:], block.shift),
    )  # fmt: skip
    return y


def taps_of(block: Any) -> tuple[Tensor, ...]:
    """Taps of a fused block's depth-wise convolutions, as its kernels read them."""
    return tuple(turned(weight.detach()) for weight in weights_of(block))


def weights_of(block: Any) -> tuple[Tensor, ...]:
    """Weights of a fused block's depth-wise convolutions."""
    value = block.value
    convs = (value.DW_conv0, value.DW_conv1, value.DW_conv2, block.dwconv)
    return tuple(conv.weight for conv in convs)
