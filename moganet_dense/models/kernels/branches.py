"""The two branches of a block, forward and backward, as sequences of launches. No autograd here.

Names are those of the formulas in ``blocks.py``. What a branch keeps for backward is in units of C
numbers a pixel: for Moga z, P, u0, the context, G and V (6, and x), for the FFN z and the hidden
map H (1 + r, and x). U, A, T and t are computed again by kernels that read their arguments anyway.
"""

from typing import NamedTuple, cast

import torch

from . import calls, gradients, launchers
from .calls import as_map, guarded, rows
from .launching import batched_product, column_sums, launches, product, splits_of

Tensor = torch.Tensor


class Prepared(NamedTuple):
    """Weights of a block as its kernels read them; see :func:`.prepare.prepare_kernel`."""

    square: Tensor
    square_2: Tensor
    square_2_scaled: Tensor
    wide: Tensor
    wide_bias: Tensor
    last: Tensor
    last_scaled: Tensor
    shift: Tensor
    taps: Tensor

    def of_branches(self) -> tuple['MogaWeights', 'FFNWeights']:
        """What each branch reads: views."""
        hidden, channels = self.wide.shape
        sizes = [25 * channels, 25 * (3 * channels // 8), 49 * (channels // 2), 9 * hidden]
        *of_moga, of_ffn = self.taps.split_with_sizes(sizes)
        return MogaWeights(*self[:3], *of_moga), FFNWeights(*self[3:-1], of_ffn)


class MogaWeights(NamedTuple):
    """Those of the spatial aggregation; taps are k * k * channels."""

    square: Tensor
    square_2: Tensor
    square_2_scaled: Tensor
    taps_0: Tensor
    taps_1: Tensor
    taps_2: Tensor


class FFNWeights(NamedTuple):
    """Those of the channel aggregation."""

    wide: Tensor
    wide_bias: Tensor
    last: Tensor
    last_scaled: Tensor
    shift: Tensor
    taps: Tensor


def empty_prepared(like: Tensor, channels: int, hidden: int, dtype: torch.dtype) -> Prepared:
    """Memory for the weights of a block, in the dtype that it computes in."""
    wide = guarded(dtype)
    taps = 25 * (channels + 3 * channels // 8) + 49 * (channels // 2) + 9 * hidden
    return Prepared(
        like.new_empty(3, channels, channels, dtype=dtype),
        like.new_empty(channels, channels, dtype=wide),
        like.new_empty(channels, channels, dtype=wide),
        like.new_empty(hidden, channels, dtype=dtype),
        like.new_empty(hidden, dtype=dtype),
        like.new_empty(channels, hidden, dtype=dtype),
        like.new_empty(channels + 8, hidden, dtype=dtype),
        like.new_empty(channels, dtype=torch.float32),
        like.new_empty(taps, dtype=torch.float32),
    )


def prepared(weights: list[Tensor], dtype: torch.dtype) -> Prepared:
    """Casts, scales and turns all weights of a block, in one launch.

    ``weights``: proj_1, gate, value, proj_2, layer scale 1, fc1 and its bias, fc2, sigma of the
    FFN, layer scale 2, decompose, and the four depth-wise ones, in the order of the formulas.
    """
    hidden, channels = weights[5].shape[:2]
    made = empty_prepared(weights[0], channels, hidden, dtype)
    launchers.prepare(channels, hidden)(*weights, *made)
    return made


def moga_forward(
    x: Tensor, z: Tensor, norm: tuple[Tensor, ...], params: dict[str, Tensor], ready: MogaWeights,
    kept: Tensor | None, double: bool, keep: bool, dtype: torch.dtype,
) -> tuple[Tensor, ...]:  # fmt: skip
    """x + kept a Moga(z): (y, P, mean P, u0, context, G, V), all but y with ``keep``.

    ``norm`` is mean, 1 / std, weight and bias of z's batch norm.
    """
    launches.note('mean')
    z_mean = z.mean((2, 3), dtype=torch.float32)
    to_p, to_g, to_v = ready.square.unbind()
    u, p, p_mean = calls.projected(z, to_p, params['proj_1.bias'], params['sigma'], z_mean, keep)
    u0, _ = calls.depthwise(u, ready.taps_0, params['dw0.bias'], 5)
    context = calls.context(u0, ready.taps_1, params['dw1.bias'], ready.taps_2, params['dw2.bias'])
    a, g, v = calls.gated(
        u, context, (to_g, params['gate.bias']), (to_v, params['value.bias']), double, keep
    )  # fmt: skip
    y, _ = calls.residual(
        a, ready.square_2, params['proj_2.bias'], x, dtype, norm=norm, kept=kept,
        layer_scale=params['layer_scale'],
    )  # fmt: skip
    return y, p, p_mean, u0, context, g, v


def moga_backward(
    grad: Tensor, x: Tensor, z: Tensor, norm: tuple[Tensor, ...],
    kept: tuple[Tensor, ...], params: dict[str, Tensor], ready: MogaWeights,
    factor: Tensor | None, double: bool, training: bool,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients by x and by every parameter, and ``flat``; see :mod:`.gradients`.

    Args:
        grad: gradient by y.
        x: what the branch took.
        z: the same, normed.
        norm: mean, 1 / std, weight and bias of the batch norm.
        kept: P, mean P, u0, context, G and V, of the forward pass.
        params: as there.
        ready: as there.
        factor: ``kept`` there.
        double: as there.
        training: whether the batch norm used the statistics of the batch.
    """
    p, p_mean, u0, context, g, v = kept
    channels, pixels = z.shape[1], z.numel() // z.shape[1]
    middle, high = 3 * channels // 8, channels // 2
    found = gradients.allocated(x, gradients.moga_parts(channels))
    partial = _partial(x, splits_of(pixels, 16), 3 * channels)
    of_dw0 = _partial(x, launchers.gradient_shares(z.shape, 5), 26 * channels)
    of_context = _partial(x, launchers.context_gradient_shares(z.shape), 26 * middle + 50 * high)
    by_ygv = z.new_empty(3, pixels, channels)
    by_y, by_g, by_v = by_ygv.unbind()
    values = z.new_empty(2, pixels, channels)
    a, u = values.unbind()
    if guards := ready.square_2.dtype != z.dtype:  # float16
        by_y, a = (x.new_empty(pixels, channels, dtype=ready.square_2.dtype) for _ in 'ya')
    calls.branch_gradient(grad, factor, partial, by_y)
    grad_a = product(by_y, ready.square_2_scaled)
    calls.gating_backward(grad_a, g, v, by_g, by_v, a, partial[:, channels:], double)
    by_u, by_context = batched_product(by_ygv[1:], ready.square[1:]).unbind()
    grad_context = as_map(by_context, z)
    grad_u0 = calls.context(grad_context, ready.taps_1, None, ready.taps_2, None, flipped=True)
    calls.context_weight_gradient(grad_context, u0, of_context)
    grad_q, of_tiles = calls.decomposed_backward(
        grad_u0, by_u, p, params['sigma'], p_mean, ready.taps_0, u
    )
    calls.weight_gradient(grad_u0, u, 5, 1, of_dw0)
    of_images = column_sums(of_tiles, 1)  # (B, 2, C)
    grad_p = rows(calls.centered_gradient(grad_q, of_images, params['sigma']))
    grad_z = product(grad_p, ready.square[0])
    found['x'] = calls.norm_backward(
        grad, grad_z, params['layer_scale'], factor, x, norm, training, found['norm.weight'],
        found['norm.bias'], found['sum_of_z'],
    )  # fmt: skip
    calls.row_sums((partial, of_dw0, of_context), found['sum'])
    full = torch.float32
    if guards:
        raw, found['gate.weight'] = product(by_y.t(), a, full), product(by_g.t(), u, full)
    else:
        raw, found['gate.weight'] = batched_product(
            by_ygv[:2].transpose(1, 2), values, full
        ).unbind()
    found['proj_1.weight'] = product(grad_p.t(), rows(z), full)
    found['value.weight'] = product(by_v.t(), rows(context), full)
    found['proj_2.weight'] = calls.scaled_weight_gradient(
        raw, params['proj_2.weight'], params['layer_scale'], params['proj_2.bias'],
        found['sum_of_z'], found['layer_scale'], found['proj_2.bias'],
        of_images=(of_images, found['proj_1.bias']),
    )  # fmt: skip
    return found


def ffn_forward(
    x: Tensor, z: Tensor, params: dict[str, Tensor], ready: FFNWeights, kept: Tensor | None,
    keep: bool, dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """x + kept b CA(z): (y, H, d), the last two with ``keep``."""
    h = hidden_of(z, ready.wide, ready.wide_bias)
    t, _ = calls.depthwise(h, ready.taps, params['dw.bias'], 3, gelu=True)
    y, d = calls.residual(
        t, ready.last, params['fc2.bias'], x, dtype, kept=kept,
        layer_scale=params['layer_scale'],
        row=(ready.last_scaled[x.shape[1]], params['row.bias'], ready.shift), keep_d=keep,
    )  # fmt: skip
    return y, h, d


def hidden_of(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """fc1: a product with a bias, which cuBLAS adds."""
    launches.note('product')
    return as_map(torch.addmm(bias, rows(z), weight.t()), z)


def ffn_backward(
    grad: Tensor, x: Tensor, z: Tensor, norm: tuple[Tensor, ...], h: Tensor, d: Tensor,
    params: dict[str, Tensor], ready: FFNWeights, factor: Tensor | None, training: bool,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients by x and by every parameter; see :func:`moga_backward`."""
    channels, hidden, pixels = z.shape[1], h.shape[1], z.numel() // z.shape[1]
    found = gradients.allocated(x, gradients.ffn_parts(channels, hidden))
    partial = _partial(x, splits_of(pixels, 16), 2 * channels + 1)
    of_dw = _partial(x, launchers.gradient_shares(h.shape, 3), 10 * hidden)
    scaled = h.new_empty(pixels, channels + 8)
    calls.branch_gradient(
        grad, factor, partial, scaled, row=(d, ready.shift, params['layer_scale'])
    )
    grad_t = product(scaled, ready.last_scaled)
    t, grad_t = calls.gelu_backward(h, grad_t, ready.taps, params['dw.bias'])
    grad_h, of_tiles = calls.depthwise(grad_t, ready.taps, None, 3, flipped=True, summed=True)
    grad_h = rows(grad_h)
    calls.weight_gradient(grad_t, h, 3, 1, of_dw)
    found['x'] = calls.norm_backward(
        grad, product(grad_h, ready.wide), None, None, x, norm, training, found['norm.weight'],
        found['norm.bias'],
    )  # fmt: skip
    calls.row_sums((of_dw, cast(Tensor, of_tiles), partial), found['dw.weight'])
    found['raw'] = raw = product(scaled.t(), rows(t), torch.float32)  # (C + 8, hidden)
    found['row.weight'] = raw[channels]  # the row of the decomposition
    of_last = calls.scaled_weight_gradient(
        raw, ready.last, params['layer_scale'], params['fc2.bias'], found['sums'],
        found['layer_scale'], found['fc2.bias'], shift=(ready.shift, found['shift']),
    )  # fmt: skip
    found['fc2.weight'] = calls.decomposed_weight_gradient(
        of_last, found['shift'], params['fc2.weight'], params['sigma'], found['sigma']
    )
    found['fc1.weight'] = product(grad_h.t(), rows(z), torch.float32)
    return found


def _partial(like: Tensor, shares: int, length: int) -> Tensor:
    """Memory for sums over shares of the pixels."""
    return like.new_empty(shares, length, dtype=torch.float32)
