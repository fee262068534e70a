"""Depth-wise convolutions on (B, H, W, C): what a program computes, and the forward kernels.

A program owns strips: a few output columns, ``dilation`` apart, of one row. For each row of the
kernel it loads every input value of a strip once, for all taps that need it, and keeps one
accumulator per output column in registers. Of a dilated convolution the strip lies in the image
that every n-th row and column make, where neighbouring taps are neighbours: by index arithmetic,
nothing is copied. Strips are numbered with the row fastest, so that the rows that neighbouring
threads share come from the same cache.
"""

import triton
import triton.language as tl

from .jit import kernel


@triton.jit
def replaced(values, at: tl.constexpr, value):
    """The tuple with another value at a place."""
    return values[:at] + (value,) + values[at + 1 :]


@triton.jit
def strips_of(first, H, W, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr):
    """Row and first column of the strips from number ``first`` on, and whether they exist."""
    rows, columns = tl.cdiv(H, DILATION), tl.cdiv(W, DILATION)
    across = tl.cdiv(columns, COLUMNS)
    strip = first + tl.arange(0, STRIPS)
    row, rest = strip % rows, strip // rows
    row, rest = row * DILATION + rest % DILATION, rest // DILATION
    column = (rest % across) * (COLUMNS * DILATION) + rest // across
    return row, column, (row < H) & (rest // across < DILATION)


@triton.jit
def convolved(
    x, weight, image, row, column, exists, H, W, C, channel, valid, tap_channel, tap_count,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, FLIPPED: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Accumulators of a strip, one (STRIPS, CHANNELS) for each of its columns.

    ``weight`` is (k * k, tap_count), float32; FLIPPED takes its taps in reverse, which is the
    gradient by the input.
    """
    sums = ()
    for _ in tl.static_range(COLUMNS):
        sums = sums + (tl.zeros((STRIPS, CHANNELS), tl.float32),)
    for i in range(KERNEL):
        y = row + (i - KERNEL // 2) * DILATION
        inside = exists & (y >= 0) & (y < H)
        start = (image * H + y) * W
        taps = ()
        for j in tl.static_range(KERNEL):
            tap = i * KERNEL + j
            if FLIPPED:
                tap = KERNEL * KERNEL - 1 - tap
            place = tl.max_contiguous(tl.multiple_of(tap * tap_count + tap_channel, VECTOR), VECTOR)
            taps = taps + (tl.load(weight + place, mask=valid, other=0.0)[None, :],)
        for step in tl.static_range(COLUMNS + KERNEL - 1):
            at = column + (step - KERNEL // 2) * DILATION
            seen = inside & (at >= 0) & (at < W)
            place = ((start + at).to(INDEX) * C)[:, None] + channel[None, :]
            value = tl.load(x + place, mask=seen[:, None] & valid[None, :], other=0.0)
            value = value.to(tl.float32)
            for n in tl.static_range(COLUMNS):
                if step >= n and step - n < KERNEL:
                    sums = replaced(sums, n, sums[n] + value * taps[step - n])
    return sums


@triton.jit
def gelu(x):
    """GELU(x), by the error function."""
    return 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))


@triton.jit
def gelu_slope(x):
    """Derivative of GELU."""
    return 0.5 * (1 + tl.erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * tl.exp(
        -0.5 * x * x
    )


@kernel
def depthwise_kernel(
    x, weight, bias, y, partial, H, W, C,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, FLIPPED: tl.constexpr, HAS_BIAS: tl.constexpr,
    GELU: tl.constexpr, SUMMED: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """y = GELU(conv(x) + bias), each part of it by option; SUMMED adds y up over pixels."""
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    row, column, exists = strips_of(group * STRIPS, H, W, DILATION, COLUMNS, STRIPS)
    sums = convolved(
        x, weight, image, row, column, exists, H, W, C, channel, valid, channel, C,
        KERNEL, DILATION, COLUMNS, STRIPS, CHANNELS, VECTOR, FLIPPED, INDEX,
    )  # fmt: skip
    total = tl.zeros((STRIPS, CHANNELS), tl.float32)
    for n in tl.static_range(COLUMNS):
        at = column + n * DILATION
        kept = (exists & (at < W))[:, None] & valid[None, :]
        place = (((image * H + row) * W + at).to(INDEX) * C)[:, None] + channel[None, :]
        value = sums[n]
        if HAS_BIAS:
            value += tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
        if GELU:
            value = gelu(value)
        if SUMMED:
            total += tl.where(kept, value, 0.0)
        tl.store(y + place, value.to(y.dtype.element_ty), mask=kept)
    if SUMMED:
        tile = image * tl.num_programs(0) + group
        tl.store(partial + tile * C + channel, tl.sum(total, 0), mask=valid)


@kernel
def context_kernel(
    x, weights_1, bias_1, weights_2, bias_2, y, H, W, C, groups_1, groups_2,
    COLUMNS_1: tl.constexpr, COLUMNS_2: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, FLIPPED: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """The multi-order context: y = [x_low, 5x5 of dilation 2, 7x7 of dilation 3], one launch.

    The program's number among the channel blocks decides what it computes; segments start at
    C / 8 and C / 2. FLIPPED is the gradient by x.
    """
    group, block, image = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    low, middle = C // 8, 3 * C // 8
    blocks_2, blocks_1 = tl.cdiv(C // 2, CHANNELS), tl.cdiv(middle, CHANNELS)
    if block < blocks_2:  # the most work first
        if group < groups_2:
            context_segment(
                x, weights_2, bias_2, y, group, image, H, W, C, low + middle, C // 2, block,
                7, 3, COLUMNS_2, STRIPS, CHANNELS, VECTOR, FLIPPED, INDEX,
            )  # fmt: skip
    elif block < blocks_2 + blocks_1:
        if group < groups_1:
            context_segment(
                x, weights_1, bias_1, y, group, image, H, W, C, low, middle, block - blocks_2,
                5, 2, COLUMNS_1, STRIPS, CHANNELS, VECTOR, FLIPPED, INDEX,
            )  # fmt: skip
    else:
        block -= blocks_2 + blocks_1
        channel = block * CHANNELS + tl.arange(0, CHANNELS)
        valid = tl.max_constancy(channel < low, VECTOR)
        pixels = H * W
        for first in range(group * STRIPS, pixels, tl.num_programs(0) * STRIPS):
            pixel = first + tl.arange(0, STRIPS)
            kept = (pixel < pixels)[:, None] & valid[None, :]
            place = ((image * pixels + pixel).to(INDEX) * C)[:, None] + channel[None, :]
            tl.store(y + place, tl.load(x + place, mask=kept), mask=kept)


@triton.jit
def context_segment(
    x, weight, bias, y, group, image, H, W, C, start, count, block,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr, STRIPS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, FLIPPED: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """The convolution of ``count`` channels from ``start`` on."""
    tap_channel = block * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(tap_channel < count, VECTOR)
    channel = tl.max_contiguous(tl.multiple_of(start + tap_channel, VECTOR), VECTOR)
    row, column, exists = strips_of(group * STRIPS, H, W, DILATION, COLUMNS, STRIPS)
    sums = convolved(
        x, weight, image, row, column, exists, H, W, C, channel, valid, tap_channel, count,
        KERNEL, DILATION, COLUMNS, STRIPS, CHANNELS, VECTOR, FLIPPED, INDEX,
    )  # fmt: skip
    for n in tl.static_range(COLUMNS):
        at = column + n * DILATION
        kept = (exists & (at < W))[:, None] & valid[None, :]
        place = (((image * H + row) * W + at).to(INDEX) * C)[:, None] + channel[None, :]
        value = sums[n]
        if not FLIPPED:
            value += tl.load(bias + tap_channel, mask=valid, other=0.0).to(tl.float32)[None, :]
        tl.store(y + place, value.to(y.dtype.element_ty), mask=kept)
