"""Gradients of depth-wise convolutions on (B, H, W, C), and what rides along with them."""

import triton
import triton.language as tl

from .activations import gelu_and_slope, sigmoid_of
from .depthwise import (
    convolved,
    loaded_row,
    pixels_of,
    reach,
    seen_at,
    taps_inside,
    tiles_of,
    widened,
    within,
)
from .jit import kernel


@kernel
def weight_gradient_kernel(
    grad, x, partial, H, W, images, row_length,
    C: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """Gradient by weight and bias; see :func:`weight_gradient`."""
    weight_gradient(
        grad, x, partial, H, W, images, row_length, tl.program_id(1), C, 0, C,
        KERNEL, DILATION, COLUMNS, WHOLE, TILES, CHANNELS, VECTOR,
    )  # fmt: skip


@kernel
def context_weight_gradient_kernel(
    grad, x, partial, H, W, images, row_length,
    C: tl.constexpr, COLUMNS_1: tl.constexpr, WHOLE_1: tl.constexpr, COLUMNS_2: tl.constexpr,
    WHOLE_2: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """Gradients by both weights and biases of the multi-order context, one after the other."""
    block = tl.program_id(1)
    low: tl.constexpr = C // 8
    middle: tl.constexpr = 3 * C // 8
    blocks_2: tl.constexpr = (C // 2 + CHANNELS - 1) // CHANNELS
    if block < blocks_2:
        called_weight_gradient(
            grad, x, partial + 26 * middle, H, W, images, row_length, block, C, low + middle,
            C // 2, 7, 3, COLUMNS_2, WHOLE_2, TILES, CHANNELS, VECTOR,
        )  # fmt: skip
    else:
        called_weight_gradient(
            grad, x, partial, H, W, images, row_length, block - blocks_2, C, low, middle,
            5, 2, COLUMNS_1, WHOLE_1, TILES, CHANNELS, VECTOR,
        )  # fmt: skip


@triton.jit
def weight_gradient(
    grad, x, partial, H, W, images, row_length, block,
    C: tl.constexpr, START: tl.constexpr, COUNT: tl.constexpr, KERNEL: tl.constexpr,
    DILATION: tl.constexpr, COLUMNS: tl.constexpr, WHOLE: tl.constexpr, TILES: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """Gradient by the weight, (COUNT, k * k), then by the bias, over a share of the tiles.

    Every tap has an accumulator, so a thread holds 2 channels. Share s is row s of ``partial``.
    """
    own = block * CHANNELS + tl.arange(0, CHANNELS)
    valid = within(own, COUNT, CHANNELS, VECTOR)
    channel, across = START + own, W * (DILATION * C)
    halo: tl.constexpr = 0 if WHOLE else KERNEL // 2
    sums = ()
    for _ in tl.static_range(KERNEL * KERNEL + 1):
        sums = sums + (tl.zeros((TILES, CHANNELS), tl.float32),)
    down, wide = tl.cdiv(tl.cdiv(H, DILATION), 2), tl.cdiv(tl.cdiv(W, DILATION), COLUMNS)
    per_image = down * wide * DILATION * DILATION
    groups = tl.cdiv(per_image * images, TILES)
    for group in range(tl.program_id(0), groups, tl.num_programs(0)):
        number = group * TILES + tl.arange(0, TILES)
        image, tile = number // per_image, number % per_image
        if WHOLE:  # the same tile of all images
            image, tile = number % images, number // images
        row, column, exists = tiles_of(tile, H, W, DILATION, COLUMNS, WHOLE)
        exists &= image < images
        at = grad + pixels_of(image, row, column, channel, H, W, C)
        upper = loaded_row(at, row, column, exists, H, W, valid, COLUMNS, 0, DILATION, C)
        lower = loaded_row(
            at + across, row + DILATION, column, exists, H, W, valid, COLUMNS, 0, DILATION, C
        )
        total = upper[0] + lower[0]
        for n in tl.static_range(1, COLUMNS):
            total += upper[n] + lower[n]
        sums = sums[: KERNEL * KERNEL] + (sums[KERNEL * KERNEL] + total,)
        first = row - KERNEL // 2 * DILATION
        at = x + pixels_of(image, first, column, channel, H, W, C)
        begin, end = taps_inside(
            group * TILES // images, (group * TILES + TILES - 1) // images,
            H, KERNEL, DILATION, WHOLE,
        )  # fmt: skip
        for i in tl.static_range(KERNEL + 1):
            if (i >= begin) & (i <= end):
                values = loaded_row(
                    at + i * across, first + i * DILATION, column, exists, H, W, valid,
                    COLUMNS, halo, DILATION, C,
                )  # fmt: skip
                if i < KERNEL:
                    sums = added_products(sums, values, upper, i, KERNEL, COLUMNS, halo)
                if i > 0:
                    sums = added_products(sums, values, lower, i - 1, KERNEL, COLUMNS, halo)
    partial += tl.program_id(0).to(tl.int64) * row_length
    tl.store(
        partial + COUNT * (KERNEL * KERNEL) + own, tl.sum(sums[KERNEL * KERNEL], 0), mask=valid
    )
    places: tl.constexpr = 16 if KERNEL == 3 else 32 if KERNEL == 5 else 64
    total = tl.sum(stacked(sums, KERNEL * KERNEL, places, TILES, CHANNELS), 0)
    tap = tl.arange(0, places)[None, :]
    kept = valid[:, None] & (tap < KERNEL * KERNEL)
    tl.store(partial + own[:, None] * (KERNEL * KERNEL) + tap, total, mask=kept)


called_weight_gradient = triton.jit(weight_gradient.fn, noinline=True)
"""The same as a function that a kernel calls: Triton takes much longer for two of them in one."""


@triton.jit
def stacked(
    values, COUNT: tl.constexpr, PLACES: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr
):
    """The first COUNT of some tensors of two axes as one of three, with zeros behind them.

    Reduced and stored at once: one reduction for each tap takes longer than the products.
    """
    empty = tl.zeros((TILES, CHANNELS), tl.float32)
    layer = ()
    for n in tl.static_range(PLACES):
        layer = layer + (values[n] if n < COUNT else empty,)
    for level in tl.static_range(1, 7):
        if PLACES >> level > 0:
            before, layer = layer, ()
            for n in tl.static_range(PLACES >> level):
                layer = layer + (tl.join(before[n], before[n + (PLACES >> level)]),)
    return tl.reshape(layer[0], (TILES, CHANNELS, PLACES))


@triton.jit
def added_products(sums, values, slopes, ROW: tl.constexpr, KERNEL: tl.constexpr,
                   COLUMNS: tl.constexpr, HALO: tl.constexpr):  # fmt: skip
    """The sums of all taps, with the products of a row of the input and one of slopes."""
    beside: tl.constexpr = KERNEL // 2 - HALO
    first: tl.constexpr = ROW * KERNEL
    row = ()
    for tap in tl.static_range(KERNEL):
        value = sums[first + tap]
        for n in tl.static_range(COLUMNS):
            if n + tap >= beside and n + tap < beside + COLUMNS + 2 * HALO:
                value = tl.fma(values[n + tap - beside], slopes[n], value)
        row = row + (value,)
    return sums[:first] + row + sums[first + KERNEL :]


@kernel
def decomposed_backward_kernel(
    grad_u0, grad_u_of_gate, p, scale, mean, weight, grad_p, u, partial, H, W,
    C: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """Back through the first 5x5 and U = SiLU(Q), Q = P + s (P - mean P): the gradient by Q.

    U is computed again and written, for the gradients by the weights that read it. Two sums over
    the pixels of a group of tiles: of the gradient, and of the gradient times P - mean P.
    """
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = within(channel, C, CHANNELS, VECTOR)
    first = group * TILES
    row, column, exists = tiles_of(first + tl.arange(0, TILES), H, W, DILATION, COLUMNS, WHOLE)
    sums = convolved(
        grad_u0, weight, image, first, row, column, exists, H, W, channel, channel,
        C, C, KERNEL, DILATION, COLUMNS, WHOLE, TILES, CHANNELS, VECTOR, True,
    )  # fmt: skip
    s = tl.load(scale + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    center = tl.load(mean + image * C + channel, mask=valid, other=0.0)[None, :]
    total = tl.zeros((TILES, CHANNELS), tl.float32)
    total_by_s = tl.zeros((TILES, CHANNELS), tl.float32)
    for i in tl.static_range(2):
        pixel = pixels_of(image, row + i * DILATION, column, channel, H, W, C)
        ends = reach(column, W, exists & (row + i * DILATION < H))
        for n in tl.static_range(COLUMNS):
            kept, place = seen_at(ends, n * DILATION, valid), pixel + n * (DILATION * C)
            centered = widened(tl.load(p + place, mask=kept, other=0.0)) - center
            q = center + centered + s * centered
            sigmoid = sigmoid_of(q)
            grad = sums[i * COLUMNS + n]
            grad += widened(tl.load(grad_u_of_gate + place, mask=kept, other=0.0))
            grad = tl.where(kept, grad * sigmoid * (1 + q * (1 - sigmoid)), 0.0)
            tl.store(u + place, (q * sigmoid).to(u.dtype.element_ty), mask=kept)
            tl.store(grad_p + place, grad.to(grad_p.dtype.element_ty), mask=kept)
            total += grad
            total_by_s += grad * centered
    tile = partial + (image * tl.num_programs(0) + group) * (2 * C)
    tl.store(tile + channel, tl.sum(total, 0), mask=valid)
    tl.store(tile + C + channel, tl.sum(total_by_s, 0), mask=valid)


@kernel
def gelu_backward_kernel(
    x, grad_y, weight, bias, y, grad, H, W,
    C: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """y = GELU(t) with t = conv(x) + bias computed again, and the gradient by t from that by y."""
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = within(channel, C, CHANNELS, VECTOR)
    first = group * TILES
    row, column, exists = tiles_of(first + tl.arange(0, TILES), H, W, DILATION, COLUMNS, WHOLE)
    sums = convolved(
        x, weight, image, first, row, column, exists, H, W, channel, channel,
        C, C, KERNEL, DILATION, COLUMNS, WHOLE, TILES, CHANNELS, VECTOR, False,
    )  # fmt: skip
    shift = tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    for i in tl.static_range(2):
        pixel = pixels_of(image, row + i * DILATION, column, channel, H, W, C)
        ends = reach(column, W, exists & (row + i * DILATION < H))
        for n in tl.static_range(COLUMNS):
            kept, place = seen_at(ends, n * DILATION, valid), pixel + n * (DILATION * C)
            value, slope = gelu_and_slope(sums[i * COLUMNS + n] + shift)
            slope *= widened(tl.load(grad_y + place, mask=kept, other=0.0))
            tl.store(y + place, value.to(y.dtype.element_ty), mask=kept)
            tl.store(grad + place, slope.to(grad.dtype.element_ty), mask=kept)
