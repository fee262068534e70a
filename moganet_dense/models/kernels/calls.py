"""Calls of the kernels on tensors: shapes of tiles, grids, new maps. No autograd here.

Maps are (B, C, H, W) in channels_last; ``rows`` is the same memory as (pixels, C).
"""

import torch

from . import depthwise as forward
from . import depthwise_backward as backward
from . import products
from . import rows as elementwise
from .choice import INTERPRETED
from .launching import (
    MULTIPROCESSORS,
    THREAD_CHANNELS,
    block_of,
    ceil_div,
    index_dtype,
    launch,
    splits_of,
    tile_columns,
    tiles_at_once,
    vector_of,
)

Tensor = torch.Tensor


def rows(x: Tensor) -> Tensor:
    """(B, C, H, W) in channels_last as (B H W, C): a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def map_like(x: Tensor, channels: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """A new map of the size of ``x``, not filled."""
    batch, count, height, width = x.shape
    return torch.empty(
        (batch, channels or count, height, width),
        dtype=dtype or x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip


def _tiles(x: Tensor, kernel: int, dilation: int, tiles: int) -> tuple[int, int]:
    """Columns of a tile, and groups of ``tiles`` tiles in an image."""
    height, width = x.shape[2:]
    columns = tile_columns(width, kernel, dilation)
    across = ceil_div(ceil_div(width, dilation), columns)
    down = ceil_div(ceil_div(height, dilation), 2)
    return columns, ceil_div(across * down * dilation * dilation, tiles)


def _tile(x: Tensor, kernel: int, dilation: int) -> tuple[int, dict]:
    """Groups of tiles in an image, and the constants of a depth-wise convolution."""
    channels = x.shape[1]
    block, vector = block_of(channels), min(vector_of(channels), THREAD_CHANNELS[kernel])
    tiles = tiles_at_once(block, vector)
    columns, groups = _tiles(x, kernel, dilation, tiles)
    return groups, dict(
        C=channels, KERNEL=kernel, DILATION=dilation, COLUMNS=columns, TILES=tiles, CHANNELS=block,
        VECTOR=vector,
    )  # fmt: skip


def depthwise(
    x: Tensor, taps: Tensor, bias: Tensor | None, kernel: int, dilation: int = 1, *,
    gelu: bool = False, flipped: bool = False, summed: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """GELU(conv(x) + bias), and with ``summed`` its sums over tiles of pixels, (tiles, C).

    Args:
        x: (B, C, H, W).
        taps: (k * k, C), float32.
        bias: (C,), or None.
        kernel: k, 3, 5 or 7; the convolution keeps height and width.
        dilation: of the convolution.
        gelu: whether GELU is applied.
        flipped: reverses the taps: the gradient by the input.
        summed: whether the sums are computed.
    """
    batch, channels, height, width = x.shape
    groups, tile = _tile(x, kernel, dilation)
    y = map_like(x)
    partial = x.new_empty((batch * groups, channels), dtype=torch.float32) if summed else None
    launch(
        forward.depthwise_kernel, (groups, ceil_div(channels, tile['CHANNELS']), batch),
        x, taps, bias if bias is not None else taps, y, partial if summed else taps, height, width,
        FLIPPED=flipped, HAS_BIAS=bias is not None, GELU=gelu, SUMMED=summed, **tile,
    )  # fmt: skip
    return y, partial


def _segment_block(channels: int) -> int:
    """Channels of a program where the channels are split 1 : 3 : 4."""
    return block_of(channels // 8 * 4, 32)


def context(
    u0: Tensor, taps_1: Tensor, bias_1: Tensor | None, taps_2: Tensor, bias_2: Tensor | None, *,
    flipped: bool = False,
) -> Tensor:  # fmt: skip
    """The multi-order context; with ``flipped`` the gradient by its input from that by its value.

    Args:
        u0: (B, C, H, W).
        taps_1: of the 5x5, (25, 3C / 8), float32.
        bias_1: of the 5x5, (3C / 8,).
        taps_2: of the 7x7, (49, C / 2), float32.
        bias_2: of the 7x7, (C / 2,).
        flipped: reverses the taps and leaves the biases out.
    """
    batch, channels, height, width = u0.shape
    block, vector = _segment_block(channels), min(vector_of(channels // 8), 2)
    tiles = tiles_at_once(block, vector)
    columns_1, groups_1 = _tiles(u0, 5, 2, tiles)
    columns_2, groups_2 = _tiles(u0, 7, 3, tiles)
    y = map_like(u0)
    low, middle, high = channels // 8, 3 * channels // 8, channels // 2
    blocks = ceil_div(high, block) + ceil_div(middle, block) + 1
    launch(
        forward.context_kernel, (max(groups_1, groups_2), blocks, batch),
        u0, taps_1, taps_1 if flipped else bias_1, taps_2, taps_2 if flipped else bias_2, y,
        height, width, groups_1, groups_2, C=channels, COLUMNS_1=columns_1, COLUMNS_2=columns_2,
        TILES=tiles, CHANNELS=block, VECTOR=vector, COPIED=vector_of(low),
        THREADS=tiles_at_once(1, 1), FLIPPED=flipped,
    )  # fmt: skip
    return y


def weight_gradient(grad: Tensor, x: Tensor, kernel: int, dilation: int, partial: Tensor) -> None:
    """Gradient by weight and bias of a depth-wise convolution, shares of it into ``partial``.

    ``partial`` is (shares, C * (k * k + 1)), a slice of a wider one: (C, k, k), then (C,).
    """
    batch, channels, height, width = x.shape
    block, vector = block_of(channels, 32), min(vector_of(channels), THREAD_CHANNELS[kernel])
    launch(
        backward.weight_gradient_kernel, (len(partial), ceil_div(channels, block)),
        grad, x, partial, height, width, batch, partial.stride(0),
        C=channels, KERNEL=kernel, DILATION=dilation, COLUMNS=4,
        TILES=tiles_at_once(block, vector), CHANNELS=block, VECTOR=vector,
    )  # fmt: skip


def context_weight_gradient(grad: Tensor, u0: Tensor, partial: Tensor) -> None:
    """Gradients by the weights and biases of the context, shares of them into ``partial``.

    ``partial`` is (shares, 26 * 3C / 8 + 50 * C / 2): of the 5x5, then of the 7x7.
    """
    batch, channels, height, width = u0.shape
    block, vector = _segment_block(channels), min(vector_of(channels // 8), 2)
    blocks = sum(ceil_div(part, block) for part in (3 * channels // 8, channels // 2))
    launch(
        backward.context_weight_gradient_kernel, (len(partial), blocks),
        grad, u0, partial, height, width, batch, partial.stride(0),
        C=channels, COLUMNS_1=4, COLUMNS_2=4, TILES=tiles_at_once(block, vector), CHANNELS=block,
        VECTOR=vector,
    )  # fmt: skip


def decomposed_backward(
    grad_u0: Tensor, grad_u: Tensor, p: Tensor, sigma: Tensor, p_mean: Tensor, taps: Tensor,
    u: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradient by Q = P + s (P - mean P) from those by U = SiLU(Q), and sums; fills ``u`` with U.

    The gradient by U is ``grad_u`` and what comes through the 5x5 from ``grad_u0``. The sums are
    (B, tiles, 2, C): of the gradient, and of it times P - mean P.
    """
    batch, channels, height, width = p.shape
    groups, tile = _tile(p, 5, 1)
    grad = map_like(p)
    partial = p.new_empty((batch, groups, 2, channels), dtype=torch.float32)
    launch(
        backward.decomposed_backward_kernel,
        (groups, ceil_div(channels, tile['CHANNELS']), batch),
        grad_u0, grad_u, p, sigma, p_mean, taps, grad, u, partial, height, width, **tile,
    )  # fmt: skip
    return grad, partial


def gelu_backward(x: Tensor, grad: Tensor, taps: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """T = GELU(t), t = conv3x3(x) + bias, computed again, and the gradient by t from that by T."""
    batch, channels, height, width = x.shape
    groups, tile = _tile(x, 3, 1)
    y, grad_t = map_like(x), map_like(x)
    launch(
        backward.gelu_backward_kernel, (groups, ceil_div(channels, tile['CHANNELS']), batch),
        x, grad, taps, bias, y, grad_t, height, width, **tile,
    )  # fmt: skip
    return y, grad_t


def _row_tile(channels: int) -> dict:
    """Tile of an element-wise kernel: 8 numbers a thread."""
    block = block_of(channels)
    return dict(PIXELS=tiles_at_once(block, 8), CHANNELS=block)


def _row_grid(pixels: int, tile: dict, channels: int) -> tuple[int, int]:
    return ceil_div(pixels, tile['PIXELS']), ceil_div(channels, tile['CHANNELS'])


def normalize(x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor, dtype,
              running: tuple[Tensor, Tensor, Tensor | None] | None = None,
              momentum: float = 0.0, eps: float = 0.0) -> Tensor:  # fmt: skip
    """Batch norm of ``x`` with these statistics, in ``dtype``; updates ``running`` on the way.

    ``running``: mean, variance and, or None, the number of batches.
    """
    channels, tile = x.shape[1], _row_tile(x.shape[1])
    z, pixels = map_like(x, dtype=dtype), x.numel() // channels
    running_mean, running_var, tracked = running or (mean, mean, None)
    launch(
        elementwise.normalize_kernel, _row_grid(pixels, tile, channels),
        x, mean, inverse, weight, bias, z, pixels, channels,
        running_mean, running_var, mean if tracked is None else tracked, momentum, eps,
        UPDATED=running is not None, COUNTED=tracked is not None,
        VECTOR=vector_of(channels), INDEX=index_dtype(x), **tile,
    )  # fmt: skip
    return z


def branch_gradient(
    grad: Tensor, kept: Tensor | None, partial: Tensor, scaled: Tensor,
    z: Tensor | None = None, row: tuple[Tensor, Tensor, Tensor] | None = None,
) -> None:  # fmt: skip
    """Fills ``scaled`` with the gradient by a branch before its layer scale, and ``partial``.

    ``scaled`` is (pixels, C); with ``row``, which is d, shift and layer scale, (pixels, C + 8).
    ``partial``, (shares, 2 C) or (shares, 2 C + 1), gets its sums; see the kernel.
    """
    batch, channels = grad.shape[:2]
    pixels, width = scaled.shape
    block = max(16, 1 << (channels - 1).bit_length())
    launch(
        elementwise.branch_gradient_kernel, (len(partial),),
        grad, grad if kept is None else kept, grad if z is None else z,
        *(row or (partial, partial, partial)), scaled, partial,
        pixels, pixels // batch, channels, partial.stride(0), width,
        HAS_KEPT=kept is not None, HAS_D=row is not None,
        PIXELS=256 if INTERPRETED else max(1, 2048 // block), CHANNELS=block,
        VECTOR=vector_of(channels), INDEX=index_dtype(scaled),
    )  # fmt: skip


def gating_backward(
    grad_a: Tensor, g: Tensor, v: Tensor, grad_g: Tensor, grad_v: Tensor, a: Tensor,
    partial: Tensor, double: bool,
) -> None:  # fmt: skip
    """Back through the gating: fills ``grad_g``, ``grad_v``, A again, and (shares, 2 C) sums."""
    channels, tile = g.shape[1], _row_tile(g.shape[1])
    launch(
        elementwise.gating_backward_kernel, (len(partial), ceil_div(channels, tile['CHANNELS'])),
        grad_a, g, v, grad_g, grad_v, a, partial, g.numel() // channels, channels,
        partial.stride(0), DOUBLE=double, VECTOR=vector_of(channels),
        INDEX=index_dtype(g), **tile,
    )  # fmt: skip


def centered_gradient(grad: Tensor, sums: Tensor, sigma: Tensor) -> Tensor:
    """Gradient by P from that by Q = P + s (P - mean P) and its sums, (B, 2, C)."""
    batch, channels = grad.shape[:2]
    tile, pixels = _row_tile(channels), grad.numel() // channels
    grad_p = map_like(grad)
    launch(
        elementwise.centered_gradient_kernel, _row_grid(pixels, tile, channels),
        grad, sums, sigma, grad_p, pixels, pixels // batch, channels,
        VECTOR=vector_of(channels), INDEX=index_dtype(grad), **tile,
    )  # fmt: skip
    return grad_p


def norm_backward(
    grad: Tensor, grad_z: Tensor, layer_scale: Tensor | None, kept: Tensor | None, x: Tensor,
    norm: tuple[Tensor, ...], training: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients by x, weight and bias of a batch norm, x with the shortcut's ``grad`` added.

    ``grad_z`` is the gradient by the normed map, to which ``kept * layer_scale * grad`` is added
    where a layer scale is given: the normed map is a shortcut of its own.
    """
    mean, inverse, weight = norm[:3]
    channels, tile = x.shape[1], _row_tile(x.shape[1])
    pixels, blocks = x.numel() // channels, ceil_div(channels, tile['CHANNELS'])
    shares = splits_of(pixels, 256)
    partial = x.new_empty((shares, 2, channels), dtype=torch.float32)
    common = dict(
        HAS_SHORTCUT=layer_scale is not None, HAS_KEPT=kept is not None,
        VECTOR=vector_of(channels), INDEX=index_dtype(x),
    )  # fmt: skip
    layer_scale = weight if layer_scale is None else layer_scale
    arguments = (grad, grad_z, layer_scale, mean if kept is None else kept, x, mean, inverse)
    sizes = (pixels, pixels // len(x), channels)
    launch(
        elementwise.norm_sums_kernel, (shares, blocks), *arguments, partial, *sizes,
        **common, **tile,
    )  # fmt: skip
    grad_x = map_like(x)
    grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
    programs = min(ceil_div(pixels, tile['PIXELS']), max(1, 8 * MULTIPROCESSORS // blocks))
    launch(
        elementwise.norm_backward_kernel, (programs, blocks), *arguments, weight, partial, grad_x,
        grad_weight, grad_bias, *sizes, shares, TRAINING=training, **common, **tile,
    )  # fmt: skip
    return grad_x, grad_weight, grad_bias


def _product_tile(x: Tensor, outputs: int, inputs: int, pixels: int, pairs: int = 1) -> dict:
    """Tile and precision of a product that reads ``x``."""
    full = x.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
    tile = dict(
        PIXELS=64 if full or pixels <= 64 else 128,
        OUTPUTS=64 if outputs % 64 == 0 and not full else 32,
        INPUTS=64 if inputs % 64 == 0 and x.dtype != torch.float32 and pairs == 1 else 32,
        PRECISION='ieee' if full else 'tf32',
    )
    if INTERPRETED:
        tile.update(PIXELS=256, OUTPUTS=64, INPUTS=64, PRECISION='interpreted')
    tile.update(warps=4 if tile['PIXELS'] == 64 else 8, stages=3)
    return tile


def projected(
    z: Tensor, weight: Tensor, bias: Tensor, sigma: Tensor | None, z_mean: Tensor, keep_p: bool,
    mean_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """U = SiLU(P + s (P - mean P)) of P = W Z + b: (U, P, mean P), the last two with ``keep_p``.

    With ``mean_weight``, U = SiLU(P - mean_weight mean Z), as the fused form has it.
    """
    batch, channels = z.shape[:2]
    per_image = z.numel() // batch // channels
    tile = _product_tile(z, channels, channels, per_image)
    u = map_like(z)
    p, p_mean = (map_like(z), torch.empty_like(z_mean)) if keep_p else (u, z_mean)
    grid = (ceil_div(per_image, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS']), batch)
    launch(
        products.projected_kernel, grid, z, weight, bias, bias if sigma is None else sigma,
        z_mean, weight if mean_weight is None else mean_weight, p, u, p_mean, per_image, channels,
        HAS_P=keep_p, FOLDED=mean_weight is not None, VECTOR=vector_of(channels),
        INDEX=index_dtype(z), **tile,
    )  # fmt: skip
    return u, p, p_mean


def gated(
    u: Tensor, context: Tensor, gate: tuple[Tensor, Tensor], value: tuple[Tensor, Tensor],
    double: bool, keep_gv: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A = SiLU(G) SiLU(V) of G = gate(U), V = value(context): (A, G, V), the last with ``keep_gv``.

    A is float32 where U is float16: the product of two moderate factors is beyond float16.
    """
    channels = u.shape[1]
    pixels = u.numel() // channels
    tile = _product_tile(u, channels, channels, pixels, pairs=2)
    a = map_like(u, dtype=guarded(u.dtype))
    g, v = (map_like(u), map_like(u)) if keep_gv else (u, u)
    grid = (ceil_div(pixels, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS']))
    launch(
        products.gated_kernel, grid, u, context, *gate, *value, g, v, a, pixels, channels,
        DOUBLE=double, HAS_GV=keep_gv, VECTOR=vector_of(channels), INDEX=index_dtype(u),
        **tile,
    )  # fmt: skip
    return a, g, v


def guarded(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the gated product: float32 for float16, which it would leave."""
    return torch.float32 if dtype == torch.float16 else dtype


def residual(
    t: Tensor, weight: Tensor, bias: Tensor, x: Tensor, dtype: torch.dtype, *,
    norm: tuple[Tensor, ...] | None = None, kept: Tensor | None = None,
    layer_scale: Tensor | None = None, shortcut_scale: Tensor | None = None,
    row: tuple[Tensor, Tensor, Tensor] | None = None, keep_d: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """y = r x + kept a (W T + b + n(x) - shift GELU(d)); see the kernel. (y, d), d if ``keep_d``.

    Args:
        t: (B, K, H, W).
        weight: (C, K) in the dtype of t.
        bias: (C,).
        x: the shortcut, (B, C, H, W).
        dtype: of y.
        norm: mean, 1 / std, weight and bias of n, (C,); None leaves it out, as all that follow.
        kept: factor of each image, (B,): what drop path drew.
        layer_scale: a, (C,).
        shortcut_scale: r, (C,).
        row: weight (K,) in the dtype of t and bias (1,) of d, and shift (C,).
        keep_d: whether d, (B H W,) float32, is returned.
    """
    batch, channels = x.shape[:2]
    inner, pixels = t.shape[1], x.numel() // channels
    tile = _product_tile(t, channels, inner, pixels)
    if t.dtype == torch.float32 and guarded(torch.float16) == t.dtype and x.dtype == torch.float16:
        tile['PRECISION'] = tile['PRECISION'].replace(
            'ieee', 'tf32'
        )  # as precise as float16, with the range of float32
    y = map_like(x, dtype=dtype)
    d = x.new_empty(pixels, dtype=torch.float32) if keep_d else None
    row_weight, row_bias, shift = row or (weight, bias, bias)
    grid = (ceil_div(pixels, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS']))
    launch(
        products.residual_kernel, grid, t, weight, bias, x, *(norm or (bias, bias, bias, bias)),
        x if kept is None else kept, bias if layer_scale is None else layer_scale,
        bias if shortcut_scale is None else shortcut_scale, row_weight, row_bias, shift,
        d if keep_d else bias, y, pixels, pixels // batch, channels, inner,
        HAS_NORM=norm is not None, HAS_KEPT=kept is not None, HAS_SCALE=layer_scale is not None,
        HAS_SHORTCUT=shortcut_scale is not None, HAS_D=row is not None, KEEPS_D=keep_d,
        VECTOR=vector_of(channels), INDEX=index_dtype(t, x), **tile,
    )  # fmt: skip
    return y, d
