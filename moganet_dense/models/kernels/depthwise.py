"""Depth-wise convolutions on (B, H, W, C): what a program computes, and the forward kernels.

A program owns tiles: two output rows and a few columns, ``dilation`` apart, of a few channels. It
loads every input value of a tile once, for all taps and outputs that need it, and keeps one
accumulator per output in registers. Of a dilated convolution the tile lies in the image that every
n-th row and column make, where neighbouring taps are neighbours: by index arithmetic, nothing is
copied. Tiles are numbered with the row fastest, so that the rows that neighbouring threads share
come from the same cache.

What bounds these kernels is the number of instructions. So addresses are one pointer per row and
offsets that are constants (the number of channels is one), whether a column is in the image takes
one comparison, and nothing is masked where all channels of a block exist. On a narrow map a tile is
WHOLE: it has all columns, so that what is beside it is zero and left out, and so are the kernel's
rows above and below the image. Its tiles are numbered with the row slowest, so that those of a
program agree on which rows these are.
"""

import triton
import triton.language as tl

from .activations import gelu
from .jit import kernel

LARGE = tl.constexpr(2**30)


@triton.jit
def tiles_of(
    tile, H, W, DILATION: tl.constexpr, COLUMNS: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """First row and column of tiles, by their numbers, and whether they exist."""
    down = tl.cdiv(tl.cdiv(H, DILATION), 2)
    if WHOLE:
        column, row = tile % DILATION, tile // DILATION
        pair, row = row // DILATION, row % DILATION
        return pair * (2 * DILATION) + row, column, pair < down
    across = tl.cdiv(tl.cdiv(W, DILATION), COLUMNS)
    row, rest = tile % down, tile // down
    row = row * (2 * DILATION) + rest % DILATION
    rest = rest // DILATION
    column = (rest % across) * (COLUMNS * DILATION) + rest // across
    return row, column, rest // across < DILATION


@triton.jit
def taps_inside(first, last, H, KERNEL: tl.constexpr, DILATION: tl.constexpr, WHOLE: tl.constexpr):
    """First and end of the kernel's rows of which any tile, from first to last, sees the image."""
    if not WHOLE:
        return 0, KERNEL
    square: tl.constexpr = DILATION * DILATION
    begin = KERNEL // 2 - 1 - last // square * 2
    end = tl.cdiv(H, DILATION) + KERNEL // 2 - first // square * 2
    return tl.maximum(begin, 0), tl.minimum(end, KERNEL)


@triton.jit
def within(channel, COUNT: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr):
    """Which channels of a block exist: all, as a constant, where blocks divide them evenly."""
    if COUNT % CHANNELS == 0:
        return tl.full((CHANNELS,), 1, tl.int1)
    return tl.max_constancy(channel < COUNT, VECTOR)


@triton.jit
def reach(column, W, exists):
    """How far a tile's first column is from both ends of a row: nowhere, where no row exists."""
    left = tl.where(exists, column, -LARGE)
    return left[:, None], tl.where(exists, W - 1 - column, -LARGE)[:, None]


@triton.jit
def seen_at(ends, OFFSET: tl.constexpr, valid):
    """Whether the column at an offset from the first one is in the image: one comparison."""
    if OFFSET < 0:
        return (ends[0] >= -OFFSET) & valid[None, :]
    return (ends[1] >= OFFSET) & valid[None, :]


@triton.jit
def pixels_of(image, row, column, channel, H, W, C: tl.constexpr):
    """Offsets in a map of a row and column of each tile, (TILES, CHANNELS), beyond 2^31 too."""
    pixel = (image * H + row).to(tl.int64) * W + column
    return (pixel * C)[:, None] + channel[None, :]


@triton.jit
def widened(value):
    """float32 of a loaded value; of bfloat16 one shift, where Triton's conversion takes two."""
    if value.dtype == tl.bfloat16:
        bits = value.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        return bits.to(tl.float32, bitcast=True)
    return value.to(tl.float32)


@triton.jit
def loaded_row(
    start, y, column, exists, H, W, valid, COLUMNS: tl.constexpr, HALO: tl.constexpr,
    DILATION: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Values of a row that a tile needs, with HALO columns around it: zeros outside the image."""
    ends = reach(column, W, exists & (y >= 0) & (y < H))
    values = ()
    for j in tl.static_range(COLUMNS + 2 * HALO):
        seen = seen_at(ends, (j - HALO) * DILATION, valid)
        value = tl.load(start + (j - HALO) * (DILATION * C), mask=seen, other=0.0)
        values = values + (widened(value),)
    return values


@triton.jit
def added_row(
    sums, upper, lower, taps, valid, TAP_COUNT: tl.constexpr, KERNEL: tl.constexpr,
    COLUMNS: tl.constexpr, HALO: tl.constexpr, FLIPPED: tl.constexpr,
):  # fmt: skip
    """The sums of both rows of a tile, with what a row of taps adds to each."""
    beside: tl.constexpr = KERNEL // 2 - HALO
    values, rows, sums = sums, (upper, lower), ()
    weights = ()
    for j in tl.static_range(KERNEL):
        place = taps + (KERNEL - 1 - j if FLIPPED else j) * TAP_COUNT
        weight = tl.load(place, mask=valid, other=0.0)[None, :]
        weights = weights + (tl.broadcast_to(weight, values[0].shape),)
    for n in tl.static_range(2 * COLUMNS):
        value = values[n]
        for j in tl.static_range(KERNEL):
            if n % COLUMNS + j >= beside and n % COLUMNS + j < beside + COLUMNS + 2 * HALO:
                value = tl.fma(rows[n // COLUMNS][n % COLUMNS + j - beside], weights[j], value)
        sums = sums + (value,)
    return sums


@triton.jit
def convolved(
    x, weight, image, first, row, column, exists, H, W, channel, tap_channel,
    C: tl.constexpr, TAP_COUNT: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr,
    COLUMNS: tl.constexpr, WHOLE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr, FLIPPED: tl.constexpr,
):  # fmt: skip
    """Accumulators of a tile, 2 x COLUMNS of (TILES, CHANNELS), row by row.

    ``weight`` is (k * k, TAP_COUNT), float32; FLIPPED takes its taps in reverse, which is the
    gradient by the input. Two rows of taps follow each other in the loop, so that the row of the
    input that both need stays where it is.
    """
    valid = within(tap_channel, TAP_COUNT, CHANNELS, VECTOR)
    halo: tl.constexpr = 0 if WHOLE else KERNEL // 2
    begin, end = taps_inside(first, first + TILES - 1, H, KERNEL, DILATION, WHOLE)
    y = row - KERNEL // 2 * DILATION
    start, across = x + pixels_of(image, y, column, channel, H, W, C), W * (DILATION * C)
    taps = weight + tap_channel
    sums = ()
    for _ in tl.static_range(2 * COLUMNS):
        sums = sums + (tl.zeros((TILES, CHANNELS), tl.float32),)
    upper = loaded_row(
        start + begin * across, y + begin * DILATION, column, exists, H, W, valid,
        COLUMNS, halo, DILATION, C,
    )  # fmt: skip
    for i in range(begin, end):
        lower = loaded_row(
            start + (i + 1) * across, y + (i + 1) * DILATION, column, exists, H, W, valid,
            COLUMNS, halo, DILATION, C,
        )  # fmt: skip
        at = (KERNEL - 1 - i if FLIPPED else i) * (KERNEL * TAP_COUNT)
        sums = added_row(
            sums, upper, lower, taps + at, valid, TAP_COUNT, KERNEL, COLUMNS, halo, FLIPPED
        )
        upper = lower
    return sums


@kernel
def depthwise_kernel(
    x, weight, bias, y, partial, H, W,
    C: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
    FLIPPED: tl.constexpr, HAS_BIAS: tl.constexpr, GELU: tl.constexpr, SUMMED: tl.constexpr,
):  # fmt: skip
    """y = GELU(conv(x) + bias), each part of it by option; SUMMED adds y up over pixels."""
    group, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = within(channel, C, CHANNELS, VECTOR)
    first = group * TILES
    row, column, exists = tiles_of(first + tl.arange(0, TILES), H, W, DILATION, COLUMNS, WHOLE)
    sums = convolved(
        x, weight, image, first, row, column, exists, H, W, channel, channel,
        C, C, KERNEL, DILATION, COLUMNS, WHOLE, TILES, CHANNELS, VECTOR, FLIPPED,
    )  # fmt: skip
    total = tl.zeros((TILES, CHANNELS), tl.float32)
    if HAS_BIAS:
        shift = tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    for i in tl.static_range(2):
        place = y + pixels_of(image, row + i * DILATION, column, channel, H, W, C)
        ends = reach(column, W, exists & (row + i * DILATION < H))
        for n in tl.static_range(COLUMNS):
            kept = seen_at(ends, n * DILATION, valid)
            value = sums[i * COLUMNS + n]
            if HAS_BIAS:
                value += shift
            if GELU:
                value = gelu(value)
            if SUMMED:
                total += tl.where(kept, value, 0.0)
            tl.store(place + n * (DILATION * C), value.to(y.dtype.element_ty), mask=kept)
    if SUMMED:
        tile = image * tl.num_programs(0) + group
        tl.store(partial + tile * C + channel, tl.sum(total, 0), mask=valid)


@kernel
def context_kernel(
    x, weights_1, bias_1, weights_2, bias_2, y, H, W, groups_1, groups_2,
    C: tl.constexpr, COLUMNS_1: tl.constexpr, WHOLE_1: tl.constexpr, COLUMNS_2: tl.constexpr,
    WHOLE_2: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
    COPIED: tl.constexpr, THREADS: tl.constexpr, FLIPPED: tl.constexpr,
):  # fmt: skip
    """The multi-order context: y = [x_low, 5x5 of dilation 2, 7x7 of dilation 3], one launch.

    The program's number among the channel blocks decides what it computes; segments start at
    C / 8 and C / 2. FLIPPED is the gradient by x.
    """
    group, block, image = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    low: tl.constexpr = C // 8
    middle: tl.constexpr = 3 * C // 8
    blocks_2: tl.constexpr = (C // 2 + CHANNELS - 1) // CHANNELS
    blocks_1: tl.constexpr = (middle + CHANNELS - 1) // CHANNELS
    if block < blocks_2:  # the most work first
        if group < groups_2:
            context_segment(
                x, weights_2, bias_2, y, group, image, H, W, block, C, low + middle, C // 2,
                7, 3, COLUMNS_2, WHOLE_2, TILES, CHANNELS, VECTOR, FLIPPED,
            )  # fmt: skip
    elif block < blocks_2 + blocks_1:
        if group < groups_1:
            context_segment(
                x, weights_1, bias_1, y, group, image, H, W, block - blocks_2, C, low, middle,
                5, 2, COLUMNS_1, WHOLE_1, TILES, CHANNELS, VECTOR, FLIPPED,
            )  # fmt: skip
    else:
        copy_channels(x, y, group, image, H * W, C, low, COPIED, THREADS)


@triton.jit
def copy_channels(
    x, y, group, image, pixels, C: tl.constexpr, COUNT: tl.constexpr, VECTOR: tl.constexpr,
    THREADS: tl.constexpr,
):  # fmt: skip
    """Copies the first COUNT channels, VECTOR at a time."""
    parts: tl.constexpr = COUNT // VECTOR
    within_part = tl.arange(0, VECTOR)[None, :]
    for first in range(group * THREADS, pixels * parts, tl.num_programs(0) * THREADS):
        number = first + tl.arange(0, THREADS)
        pixel = (image * pixels + number // parts).to(tl.int64)
        place = (pixel * C + number % parts * VECTOR)[:, None] + within_part
        kept = (number < pixels * parts)[:, None]
        tl.store(y + place, tl.load(x + place, mask=kept), mask=kept)


@triton.jit
def context_segment(
    x, weight, bias, y, group, image, H, W, block,
    C: tl.constexpr, START: tl.constexpr, COUNT: tl.constexpr, KERNEL: tl.constexpr,
    DILATION: tl.constexpr, COLUMNS: tl.constexpr, WHOLE: tl.constexpr, TILES: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, FLIPPED: tl.constexpr,
):  # fmt: skip
    """The convolution of COUNT channels from START on."""
    tap_channel = block * CHANNELS + tl.arange(0, CHANNELS)
    valid = within(tap_channel, COUNT, CHANNELS, VECTOR)
    channel = START + tap_channel
    first = group * TILES
    row, column, exists = tiles_of(first + tl.arange(0, TILES), H, W, DILATION, COLUMNS, WHOLE)
    sums = convolved(
        x, weight, image, first, row, column, exists, H, W, channel, tap_channel,
        C, COUNT, KERNEL, DILATION, COLUMNS, WHOLE, TILES, CHANNELS, VECTOR, FLIPPED,
    )  # fmt: skip
    if not FLIPPED:
        shift = tl.load(bias + tap_channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    for i in tl.static_range(2):
        place = y + pixels_of(image, row + i * DILATION, column, channel, H, W, C)
        ends = reach(column, W, exists & (row + i * DILATION < H))
        for n in tl.static_range(COLUMNS):
            kept = seen_at(ends, n * DILATION, valid)
            value = sums[i * COLUMNS + n]
            if not FLIPPED:
                value += shift
            tl.store(place + n * (DILATION * C), value.to(y.dtype.element_ty), mask=kept)
