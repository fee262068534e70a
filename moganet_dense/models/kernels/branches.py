"""The two branches of a block, forward and backward, as sequences of launches. No autograd here.

Names are those of the formulas in ``blocks.py``. What a branch keeps for backward is in units of C
numbers a pixel: for Moga z, P, u0, the context, G and V (6, and x), for the FFN z and the hidden
map H (1 + r, and x). U, A, T and t are computed again by kernels that read their arguments anyway.
"""

from typing import NamedTuple, cast

import torch

from . import calls, launchers
from .calls import guarded, map_like, rows
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

    def taps_of(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Taps of the 5x5, of both dilated convolutions and of the 3x3, (k * k, channels)."""
        channels, hidden = len(self.shift), len(self.wide)
        sizes = [25 * channels, 25 * (3 * channels // 8), 49 * (channels // 2), 9 * hidden]
        parts = self.taps.split(sizes)
        return tuple(part.view(k, -1) for part, k in zip(parts, (25, 25, 49, 9), strict=True))


def empty_prepared(like: Tensor, channels: int, hidden: int, dtype: torch.dtype) -> Prepared:
    """Memory for the weights of a block, in the dtype that it computes in."""
    wide = guarded(dtype)
    taps = 25 * (channels + 3 * channels // 8) + 49 * (channels // 2) + 9 * hidden
    return Prepared(
        like.new_empty((3, channels, channels), dtype=dtype),
        like.new_empty((channels, channels), dtype=wide),
        like.new_empty((channels, channels), dtype=wide),
        like.new_empty((hidden, channels), dtype=dtype),
        like.new_empty(hidden, dtype=dtype),
        like.new_empty((channels, hidden), dtype=dtype),
        like.new_empty((channels + 8, hidden), dtype=dtype),
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
    x: Tensor, z: Tensor, norm: tuple[Tensor, ...], params: dict[str, Tensor], ready: Prepared,
    kept: Tensor | None, double: bool, keep: bool, dtype: torch.dtype,
) -> tuple[Tensor, ...]:  # fmt: skip
    """x + kept a Moga(z): (y, P, mean P, u0, context, G, V), all but y with ``keep``.

    ``norm`` is mean, 1 / std, weight and bias of z's batch norm.
    """
    taps_0, taps_1, taps_2, _ = ready.taps_of()
    launches.note('mean')
    z_mean = z.mean((2, 3), dtype=torch.float32)
    u, p, p_mean = calls.projected(
        z, ready.square[0], params['proj_1.bias'], params['sigma'], z_mean, keep
    )
    u0, _ = calls.depthwise(u, taps_0, params['dw0.bias'], 5)
    context = calls.context(u0, taps_1, params['dw1.bias'], taps_2, params['dw2.bias'])
    a, g, v = calls.gated(
        u, context, (ready.square[1], params['gate.bias']),
        (ready.square[2], params['value.bias']), double, keep,
    )  # fmt: skip
    y, _ = calls.residual(
        a, ready.square_2, params['proj_2.bias'], x, dtype, norm=norm, kept=kept,
        layer_scale=params['layer_scale'],
    )  # fmt: skip
    return y, p, p_mean, u0, context, g, v


def moga_backward(
    grad: Tensor, x: Tensor, z: Tensor, norm: tuple[Tensor, ...],
    kept: tuple[Tensor, ...], params: dict[str, Tensor], ready: Prepared,
    factor: Tensor | None, double: bool, training: bool,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients by x and by every parameter; ``flat`` holds those of biases and taps in a row.

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
    taps_0, taps_1, taps_2, _ = ready.taps_of()
    partial = _partial(x, splits_of(pixels, 16), 4 * channels)
    of_dw0 = _partial(x, launchers.gradient_shares(z.shape, 5), 26 * channels)
    of_context = _partial(x, launchers.context_gradient_shares(z.shape), 26 * middle + 50 * high)
    grads = x.new_empty((3, pixels, channels), dtype=z.dtype)  # by Y, G and V
    values = torch.empty_like(grads[:2])  # A and U
    if ready.square_2.dtype != z.dtype:  # float16: guarded
        scaled, a = (x.new_empty((pixels, channels), dtype=ready.square_2.dtype) for _ in 'ya')
    else:
        scaled, a = grads[0], values[0]
    calls.branch_gradient(grad, factor, partial, scaled, z=z)
    grad_a = product(scaled, ready.square_2_scaled)
    calls.gating_backward(grad_a, g, v, *grads[1:], a, partial[:, 2 * channels :], double)
    by_uc = batched_product(grads[1:], ready.square[1:])
    grad_u, grad_context = (as_map(part, z) for part in by_uc)
    grad_u0 = calls.context(grad_context, taps_1, None, taps_2, None, flipped=True)
    calls.context_weight_gradient(grad_context, u0, of_context)
    u = as_map(values[1], z)
    grad_q, of_tiles = calls.decomposed_backward(
        grad_u0, grad_u, p, params['sigma'], p_mean, taps_0, u
    )
    calls.weight_gradient(grad_u0, u, 5, 1, of_dw0)
    of_images = column_sums(of_tiles, 1)  # (B, 2, C)
    grad_p = calls.centered_gradient(grad_q, of_images, params['sigma'])
    grad_z = as_map(product(rows(grad_p), ready.square[0]), z)
    grad_x, norm_weight, norm_bias = calls.norm_backward(
        grad, grad_z, params['layer_scale'], factor, x, norm, training
    )
    flat, full = calls.row_sums(partial, of_dw0, of_context), torch.float32
    if a.dtype == z.dtype:
        raw, gate_weight = batched_product(grads[:2].transpose(1, 2), values, full)
    else:
        raw, gate_weight = product(scaled.t(), a), product(grads[1].t(), values[1], full)
    found = scaled_weight_gradient(raw, params, flat, None, of_images)
    return found | {
        'x': grad_x, 'norm.weight': norm_weight, 'norm.bias': norm_bias,
        'proj_1.weight': product(rows(grad_p).t(), rows(z), full), 'gate.weight': gate_weight,
        'value.weight': product(grads[2].t(), rows(context), full), 'flat': flat,
    }  # fmt: skip


def ffn_forward(
    x: Tensor, z: Tensor, params: dict[str, Tensor], ready: Prepared, kept: Tensor | None,
    keep: bool, dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """x + kept b CA(z): (y, H, d), the last two with ``keep``."""
    taps, channels = ready.taps_of()[3], x.shape[1]
    h = hidden_of(z, ready.wide, ready.wide_bias)
    t, _ = calls.depthwise(h, taps, params['dw.bias'], 3, gelu=True)
    y, d = calls.residual(
        t, ready.last, params['fc2.bias'], x, dtype, kept=kept,
        layer_scale=params['layer_scale'],
        row=(ready.last_scaled[channels], params['row.bias'], ready.shift), keep_d=keep,
    )  # fmt: skip
    return y, h, d


def hidden_of(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """fc1: a product with a bias, which cuBLAS adds."""
    launches.note('product')
    h = map_like(z, len(weight))
    torch.addmm(bias, rows(z), weight.t(), out=rows(h))
    return h


def ffn_backward(
    grad: Tensor, x: Tensor, z: Tensor, norm: tuple[Tensor, ...], h: Tensor, d: Tensor,
    params: dict[str, Tensor], ready: Prepared, factor: Tensor | None, training: bool,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients by x and by every parameter; see :func:`moga_backward`."""
    channels, hidden, pixels = z.shape[1], h.shape[1], z.numel() // z.shape[1]
    taps, full = ready.taps_of()[3], torch.float32
    partial = _partial(x, splits_of(pixels, 16), 2 * channels + 1)
    of_dw = _partial(x, launchers.gradient_shares(h.shape, 3), 10 * hidden)
    scaled = x.new_empty((pixels, channels + 8), dtype=h.dtype)
    calls.branch_gradient(
        grad, factor, partial, scaled, row=(d, ready.shift, params['layer_scale'])
    )
    grad_t = as_map(product(scaled, ready.last_scaled), h)
    t, grad_t = calls.gelu_backward(h, grad_t, taps, params['dw.bias'])
    grad_h, of_tiles = calls.depthwise(grad_t, taps, None, 3, flipped=True, summed=True)
    calls.weight_gradient(grad_t, h, 3, 1, of_dw)
    grad_z = as_map(product(rows(grad_h), ready.wide), z)
    grad_x, norm_weight, norm_bias = calls.norm_backward(
        grad, grad_z, None, None, x, norm, training
    )
    flat = calls.row_sums(partial, of_dw)
    raw = product(scaled.t(), rows(t), full)  # (C + 8, hidden); row C is of the decomposition
    found = scaled_weight_gradient(raw, params, flat, ready, None)
    return found | {
        'x': grad_x, 'norm.weight': norm_weight, 'norm.bias': norm_bias,
        'fc1.weight': product(rows(grad_h).t(), rows(z), full),
        'fc1.bias': column_sums(cast(Tensor, of_tiles)), 'raw': raw, 'flat': flat,
    }  # fmt: skip


def scaled_weight_gradient(
    raw: Tensor, params: dict[str, Tensor], flat: Tensor, ready: Prepared | None,
    of_images: Tensor | None,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients of a branch's last product, bias and layer scale; with ``ready`` the FFN's."""
    ffn, name = ready is not None, 'fc2' if ready is not None else 'proj_2'
    weight = params[f'{name}.weight']
    channels, inner = weight.shape[:2]
    scaled = raw.new_empty((channels, inner))
    scale, bias, shift, images = (
        raw.new_empty(size) for size in (channels, channels, channels, 2 * channels)
    )
    launcher = launchers.scaled_weight_gradient(
        channels, inner, 1 if of_images is None else len(of_images), ffn
    )
    launcher(
        raw, weight if ready is None else ready.last, params['layer_scale'], flat,
        params[f'{name}.bias'], flat if ready is None else ready.shift,
        flat if of_images is None else of_images, scaled, scale, bias, shift, images,
    )  # fmt: skip
    grads = {'layer_scale': scale, f'{name}.bias': bias}
    if not ffn:
        return grads | {'proj_2.weight': scaled, 'of_images': images}
    grads['fc2.weight'], grads['sigma'] = torch.empty_like(scaled), raw.new_empty(inner)
    launchers.decomposed_weight_gradient(channels, inner)(
        scaled, shift, weight, params['sigma'], grads['fc2.weight'], grads['sigma']
    )
    return grads


def _partial(like: Tensor, shares: int, length: int) -> Tensor:
    """Memory for sums over shares of the pixels."""
    return like.new_empty((shares, length), dtype=torch.float32)


def as_map(matrix: Tensor, like: Tensor) -> Tensor:
    """(B H W, C) as (B, C, H, W) in channels_last: a view."""
    batch, _, height, width = like.shape
    return matrix.view(batch, height, width, -1).permute(0, 3, 1, 2)
