"""Gradients of depth-wise convolutions on (B, H, W, C), and what rides along with them."""

import triton
import triton.language as tl

from .depthwise import convolved, gelu, gelu_slope, replaced, strips_of
from .jit import kernel


@kernel
def weight_gradient_kernel(
    grad, x, partial, H, W, C, images, row_length,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Gradient by weight and bias; see :func:`weight_gradient`."""
    weight_gradient(
        grad, x, partial, H, W, C, 0, C, images, row_length, tl.program_id(1),
        KERNEL, DILATION, COLUMNS, STRIPS, CHANNELS, VECTOR, INDEX,
    )  # fmt: skip


@kernel
def context_weight_gradient_kernel(
    grad, x, partial, H, W, C, images, row_length,
    COLUMNS_1: tl.constexpr, COLUMNS_2: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Gradients by both weights and biases of the multi-order context, one after the other."""
    block = tl.program_id(1)
    low, middle = C // 8, 3 * C // 8
    blocks_2 = tl.cdiv(C // 2, CHANNELS)
    if block < blocks_2:
        weight_gradient(
            grad, x, partial + 26 * middle, H, W, C, low + middle, C // 2, images, row_length,
            block, 7, 3, COLUMNS_2, STRIPS, CHANNELS, VECTOR, INDEX,
        )  # fmt: skip
    else:
        weight_gradient(
            grad, x, partial, H, W, C, low, middle, images, row_length, block - blocks_2,
            5, 2, COLUMNS_1, STRIPS, CHANNELS, VECTOR, INDEX,
        )  # fmt: skip


@triton.jit
def weight_gradient(
    grad, x, partial, H, W, C, start, count, images, row_length, block,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Gradient by the weight, (count, k * k), then by the bias, over a share of the strips.

    Every tap has an accumulator, so a thread holds few channels: 2 of a 7x7, 4 of a 5x5. Rows of
    the input are read k times, all but once from the cache. Share s is row s of ``partial``.
    """
    own = block * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(own < count, VECTOR)
    channel = tl.max_contiguous(tl.multiple_of(start + own, VECTOR), VECTOR)
    sums = ()
    for _ in tl.static_range(KERNEL * KERNEL + 1):
        sums = sums + (tl.zeros((STRIPS, CHANNELS), tl.float32),)
    across = tl.cdiv(tl.cdiv(W, DILATION), COLUMNS)
    per_image = tl.cdiv(across * tl.cdiv(H, DILATION) * DILATION * DILATION, STRIPS)
    for group in range(tl.program_id(0), per_image * images, tl.num_programs(0)):
        image = group // per_image
        row, column, exists = strips_of(
            (group % per_image) * STRIPS, H, W, DILATION, COLUMNS, STRIPS
        )
        slopes = ()
        for n in tl.static_range(COLUMNS):
            at = column + n * DILATION
            seen = exists & (at < W)
            place = (((image * H + row) * W + at).to(INDEX) * C)[:, None] + channel[None, :]
            slope = tl.load(grad + place, mask=seen[:, None] & valid[None, :], other=0.0)
            slopes = slopes + (slope.to(tl.float32),)
            sums = replaced(sums, KERNEL * KERNEL, sums[KERNEL * KERNEL] + slopes[n])
        for i in tl.static_range(KERNEL):
            y = row + (i - KERNEL // 2) * DILATION
            inside = exists & (y >= 0) & (y < H)
            start_of_row = (image * H + y) * W
            for step in tl.static_range(COLUMNS + KERNEL - 1):
                at = column + (step - KERNEL // 2) * DILATION
                seen = inside & (at >= 0) & (at < W)
                place = ((start_of_row + at).to(INDEX) * C)[:, None] + channel[None, :]
                value = tl.load(x + place, mask=seen[:, None] & valid[None, :], other=0.0)
                value = value.to(tl.float32)
                for n in tl.static_range(COLUMNS):
                    if step >= n and step - n < KERNEL:
                        sums = replaced(
                            sums, i * KERNEL + step - n,
                            sums[i * KERNEL + step - n] + value * slopes[n],
                        )  # fmt: skip
    partial += tl.program_id(0).to(tl.int64) * row_length
    for tap in tl.static_range(KERNEL * KERNEL):
        tl.store(partial + own * (KERNEL * KERNEL) + tap, tl.sum(sums[tap], 0), mask=valid)
    tl.store(
        partial + count * (KERNEL * KERNEL) + own, tl.sum(sums[KERNEL * KERNEL], 0), mask=valid
    )


@kernel
def decomposed_backward_kernel(
    grad_u0, grad_u_of_gate, p, scale, mean, weight, grad_p, u, partial, H, W, C,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Back through the first 5x5 and U = SiLU(Q), Q = P + s (P - mean P): the gradient by Q.

    U is computed again and written, for the gradients by the weights that read it. Two sums over
    the pixels of a tile: of the gradient, and of the gradient times P - mean P.
    """
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    row, column, exists = strips_of(group * STRIPS, H, W, DILATION, COLUMNS, STRIPS)
    sums = convolved(
        grad_u0, weight, image, row, column, exists, H, W, C, channel, valid, channel, C,
        KERNEL, DILATION, COLUMNS, STRIPS, CHANNELS, VECTOR, True, INDEX,
    )  # fmt: skip
    s = tl.load(scale + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    center = tl.load(mean + image * C + channel, mask=valid, other=0.0)[None, :]
    total = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total_by_s = tl.zeros((STRIPS, CHANNELS), tl.float32)
    for n in tl.static_range(COLUMNS):
        at = column + n * DILATION
        kept = (exists & (at < W))[:, None] & valid[None, :]
        place = (((image * H + row) * W + at).to(INDEX) * C)[:, None] + channel[None, :]
        centered = tl.load(p + place, mask=kept, other=0.0).to(tl.float32) - center
        q = center + centered + s * centered
        sigmoid = tl.sigmoid(q)
        grad = sums[n] + tl.load(grad_u_of_gate + place, mask=kept, other=0.0).to(tl.float32)
        grad = tl.where(kept, grad * sigmoid * (1 + q * (1 - sigmoid)), 0.0)
        tl.store(u + place, (q * sigmoid).to(u.dtype.element_ty), mask=kept)
        tl.store(grad_p + place, grad.to(grad_p.dtype.element_ty), mask=kept)
        total += grad
        total_by_s += grad * centered
    tile = (image * tl.num_programs(0) + group) * 2
    tl.store(partial + tile * C + channel, tl.sum(total, 0), mask=valid)
    tl.store(partial + (tile + 1) * C + channel, tl.sum(total_by_s, 0), mask=valid)


@kernel
def gelu_backward_kernel(
    x, grad_y, weight, bias, y, grad, H, W, C,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """y = GELU(t) with t = conv(x) + bias computed again, and the gradient by t from that by y."""
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    row, column, exists = strips_of(group * STRIPS, H, W, DILATION, COLUMNS, STRIPS)
    sums = convolved(
        x, weight, image, row, column, exists, H, W, C, channel, valid, channel, C,
        KERNEL, DILATION, COLUMNS, STRIPS, CHANNELS, VECTOR, False, INDEX,
    )  # fmt: skip
    shift = tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    for n in tl.static_range(COLUMNS):
        at = column + n * DILATION
        kept = (exists & (at < W))[:, None] & valid[None, :]
        place = (((image * H + row) * W + at).to(INDEX) * C)[:, None] + channel[None, :]
        t = sums[n] + shift
        slope = tl.load(grad_y + place, mask=kept, other=0.0).to(tl.float32) * gelu_slope(t)
        tl.store(y + place, gelu(t).to(y.dtype.element_ty), mask=kept)
        tl.store(grad + place, slope.to(grad.dtype.element_ty), mask=kept)
