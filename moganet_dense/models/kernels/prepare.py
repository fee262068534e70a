"""Weights of a block as its kernels read them, made in one launch a step."""

import triton
import triton.language as tl

from .jit import kernel


@triton.jit
def copied(source, target, rows, columns, row_scale, column_scale, block,
           ROW: tl.constexpr, COLUMN: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """target = source times row_scale and (1 + column_scale), where requested."""
    at = block * SIZE + tl.arange(0, SIZE)
    inside = at < rows * columns
    value = tl.load(source + at, mask=inside, other=0.0).to(tl.float32)
    if COLUMN:
        value *= 1 + tl.load(column_scale + at % columns, mask=inside, other=0.0).to(tl.float32)
    if ROW:
        value *= tl.load(row_scale + at // columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(target + at, value.to(target.dtype.element_ty), mask=inside)


@triton.jit
def turned(source, target, channels, TAPS: tl.constexpr, block, SIZE: tl.constexpr):
    """target (taps, channels) = source (channels, taps), in float32.

    Read in order, since a thread waits for what it reads and not for what it writes.
    """
    at = block * SIZE + tl.arange(0, SIZE)
    inside = at < channels * TAPS
    value = tl.load(source + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(target + (at % TAPS) * channels + at // TAPS, value, mask=inside)


@triton.jit
def square_weight(
    proj_1, gate, value, proj_2, scale_1, sigma, square, square_2, square_2_scaled, C, which, part,
    SIZE: tl.constexpr,
):  # fmt: skip
    """One of the five weights of C x C."""
    if which == 0:
        copied(proj_1, square, C, C, scale_1, sigma, part, False, False, SIZE)
    elif which == 1:
        copied(gate, square + C * C, C, C, scale_1, sigma, part, False, False, SIZE)
    elif which == 2:
        copied(value, square + 2 * C * C, C, C, scale_1, sigma, part, False, False, SIZE)
    elif which == 3:
        copied(proj_2, square_2, C, C, scale_1, sigma, part, False, False, SIZE)
    else:
        copied(proj_2, square_2_scaled, C, C, scale_1, sigma, part, True, False, SIZE)


@triton.jit
def wide_weight(
    fc1, fc2, sigma, scale_2, wide, last, last_scaled, C, R, which, part, SIZE: tl.constexpr
):
    """One of the three weights of C x R."""
    if which == 0:
        copied(fc1, wide, R, C, scale_2, sigma, part, False, False, SIZE)
    elif which == 1:
        copied(fc2, last, C, R, scale_2, sigma, part, False, True, SIZE)
    else:
        copied(fc2, last_scaled, C, R, scale_2, sigma, part, True, True, SIZE)


@triton.jit
def row_product(matrix, vector, target, columns, row, SIZE: tl.constexpr):
    """target[row] = matrix[row] . vector, in float32."""
    total = tl.zeros((SIZE,), tl.float32)
    for first in range(0, columns, SIZE):
        at = first + tl.arange(0, SIZE)
        weight = tl.load(matrix + row * columns + at, mask=at < columns, other=0.0).to(tl.float32)
        total += weight * tl.load(vector + at, mask=at < columns, other=0.0).to(tl.float32)
    tl.store(target + row, tl.sum(total, 0))


@triton.jit
def depthwise_taps(conv0, conv1, conv2, conv3, taps, C, R, block, SIZE: tl.constexpr):
    """One of the four depth-wise convolutions: 5 x 5 of C channels, 5 x 5 of 3 C / 8, 7 x 7 of
    C / 2, 3 x 3 of R."""
    middle, high = 3 * C // 8, C // 2
    of_0, of_1, of_2 = tl.cdiv(25 * C, SIZE), tl.cdiv(25 * middle, SIZE), tl.cdiv(49 * high, SIZE)
    if block < of_0:
        turned(conv0, taps, C, 25, block, SIZE)
    block -= of_0
    if (block >= 0) & (block < of_1):
        turned(conv1, taps + 25 * C, middle, 25, block, SIZE)
    block -= of_1
    if (block >= 0) & (block < of_2):
        turned(conv2, taps + 25 * (C + middle), high, 49, block, SIZE)
    block -= of_2
    if block >= 0:
        turned(conv3, taps + 25 * (C + middle) + 49 * high, R, 9, block, SIZE)


@kernel
def prepare_kernel(
    proj_1, gate, value, proj_2, scale_1, fc1, fc1_bias, fc2, sigma, scale_2, row,
    conv0, conv1, conv2, conv3,
    square, square_2, square_2_scaled, wide, wide_bias, last, last_scaled, shift, taps,
    C, R, SIZE: tl.constexpr,
):  # fmt: skip
    """Casts, scales and turns all weights of a block; the program's id selects the weight.

    square: proj_1, gate, value, (3, C, C). square_2: proj_2, and square_2_scaled: a proj_2.
    wide and wide_bias: fc1, (R, C) and (R,). last: W' = fc2 (1 + s), (C, R), and last_scaled:
    b W', with the row of the decomposition and zeros below, (C + 8, R). shift: fc2 s, (C,).
    taps: of the four depth-wise convolutions, (taps, channels) each.
    """
    block = tl.program_id(0)
    of_square, of_wide = tl.cdiv(C * C, SIZE), tl.cdiv(C * R, SIZE)
    of_bias, of_row = tl.cdiv(R, SIZE), tl.cdiv(8 * R, SIZE)
    if block < C:  # what takes longest first
        row_product(fc2, sigma, shift, R, block, SIZE)
    block -= C
    if (block >= 0) & (block < 5 * of_square):
        square_weight(proj_1, gate, value, proj_2, scale_1, sigma, square, square_2,
                      square_2_scaled, C, block // of_square, block % of_square, SIZE)  # fmt: skip
    block -= 5 * of_square
    if (block >= 0) & (block < 3 * of_wide):
        wide_weight(fc1, fc2, sigma, scale_2, wide, last, last_scaled, C, R, block // of_wide,
                    block % of_wide, SIZE)  # fmt: skip
    block -= 3 * of_wide
    if (block >= 0) & (block < of_bias):
        copied(fc1_bias, wide_bias, 1, R, scale_1, sigma, block, False, False, SIZE)
    block -= of_bias
    if (block >= 0) & (block < of_row):
        at = block * SIZE + tl.arange(0, SIZE)
        value_of = tl.load(row + at, mask=at < R, other=0.0)
        place = last_scaled + C * R + at
        tl.store(place, value_of.to(last_scaled.dtype.element_ty), mask=at < 8 * R)
    block -= of_row
    if block >= 0:
        depthwise_taps(conv0, conv1, conv2, conv3, taps, C, R, block, SIZE)


@kernel
def scaled_weight_gradient_kernel(
    raw, weight, layer_scale, sums, bias, shift, of_images, grad_weight, grad_scale, grad_bias,
    grad_shift, grad_of_images, K, C, images, HAS_SHIFT: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Gradients of a scaled product, a (W T + b + other), from those without the scale.

    A program owns output channel c. With raw = grad^T T, (C, K), and sums of grad times
    other and of grad, (2, C): grad_weight = a raw; grad_bias = a sum; and by the scale the sum over
    raw * W plus b sum plus the sum by other. HAS_SHIFT: other is -shift GELU(d). Else two sums
    of each image, (images, 2, C), are added up too.
    """
    c = tl.program_id(0)
    a = tl.load(layer_scale + c).to(tl.float32)
    by_other, total = tl.load(sums + c), tl.load(sums + C + c)
    if HAS_SHIFT:
        tl.store(grad_shift + c, -a * by_other)
        by_other = -tl.load(shift + c) * by_other
    else:
        first_sum, second_sum = 0.0, 0.0
        for image in range(images):
            first_sum += tl.load(of_images + image * 2 * C + c)
            second_sum += tl.load(of_images + image * 2 * C + C + c)
        tl.store(grad_of_images + c, first_sum)
        tl.store(grad_of_images + C + c, second_sum)
    inner = tl.zeros((SIZE,), tl.float32)
    for first in range(0, K, SIZE):
        at = first + tl.arange(0, SIZE)
        value = tl.load(raw + c * K + at, mask=at < K, other=0.0)
        inner += value * tl.load(weight + c * K + at, mask=at < K, other=0.0).to(tl.float32)
        tl.store(grad_weight + c * K + at, a * value, mask=at < K)
    by_bias = tl.load(bias + c).to(tl.float32) * total
    tl.store(grad_scale + c, tl.sum(inner, 0) + by_bias + by_other)
    tl.store(grad_bias + c, a * total)


@kernel
def decomposed_weight_gradient_kernel(
    grad_folded, grad_shift, weight, sigma, grad_weight, grad_sigma, C, R,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Back through W' = W (1 + s) and shift = W s: gradients by W, (C, R), and s, (R,)."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < R
    s = tl.load(sigma + column, mask=inside, other=0.0).to(tl.float32)[None, :]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, C, ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < C)[:, None] & inside[None, :]
        place = row[:, None] * R + column[None, :]
        folded = tl.load(grad_folded + place, mask=mask, other=0.0)
        shift = tl.load(grad_shift + row, mask=row < C, other=0.0)[:, None]
        w = tl.load(weight + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(grad_weight + place, folded * (1 + s) + shift * s, mask=mask)
        total += w * (folded + shift)
    tl.store(grad_sigma + column, tl.sum(total, 0), mask=inside)
