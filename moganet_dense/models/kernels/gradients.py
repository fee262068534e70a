"""Gradients of biases, taps and scales: parts of one float32 tensor for each branch.

A step has 600 of them, and allocating each takes the CPU longer than splitting one tensor.
"""

from functools import cache

import torch

Tensor = torch.Tensor


@cache
def moga_parts(channels: int) -> dict[str, int]:
    """Names and lengths of what a spatial aggregation has in its tensor, in order.

    From ``sum`` on it is what :func:`.calls.row_sums` adds up. ``sum`` is that of the gradient by
    the branch before its layer scale; ``sum_of_z``, of its product with the normed map, comes
    before it.
    """
    middle, high = 3 * channels // 8, channels // 2
    scales = ('norm.weight', 'norm.bias', 'layer_scale', 'proj_2.bias', 'proj_1.bias', 'sigma')
    return dict.fromkeys(scales, channels) | {
        'sum_of_z': channels, 'sum': channels, 'gate.bias': channels, 'value.bias': channels,
        'dw0.weight': 25 * channels, 'dw0.bias': channels,
        'dw1.weight': 25 * middle, 'dw1.bias': middle,
        'dw2.weight': 49 * high, 'dw2.bias': high,
    }  # fmt: skip


@cache
def ffn_parts(channels: int, hidden: int) -> dict[str, int]:
    """Names and lengths of what a channel aggregation has in its tensor, in order.

    From ``dw.weight`` on it is what :func:`.calls.row_sums` adds up. ``sums`` are those of the
    gradient by the branch before its layer scale times GELU(d), and of that gradient.
    ``row.bias``, a single number, comes last: behind it addresses would not be multiples of 16.
    """
    scales = ('norm.weight', 'norm.bias', 'layer_scale', 'fc2.bias', 'shift')
    return dict.fromkeys(scales, channels) | {
        'sigma': hidden, 'dw.weight': 9 * hidden, 'dw.bias': hidden, 'fc1.bias': hidden,
        'sums': 2 * channels, 'row.bias': 1,
    }  # fmt: skip


def split(flat: Tensor, parts: dict[str, int]) -> dict[str, Tensor]:
    """The parts of a branch's tensor: views of it."""
    return dict(zip(parts, flat.split_with_sizes(list(parts.values())), strict=True))


def allocated(like: Tensor, parts: dict[str, int]) -> dict[str, Tensor]:
    """Memory for the parts, and as ``flat`` all of it."""
    flat = like.new_empty(sum(parts.values()), dtype=torch.float32)
    found = split(flat, parts)
    found['flat'] = flat
    return found
