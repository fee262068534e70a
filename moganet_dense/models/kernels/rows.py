"""Element-wise kernels on (pixels, C), with the sums over pixels that belong to them."""

import triton
import triton.language as tl

from .activations import gelu_and_slope, silu_and_slope
from .jit import kernel


@kernel
def normalize_kernel(
    x, mean, inverse_std, weight, bias, z, running_mean, running_var, tracked,
    pixels, C, momentum, eps,
    TRAINING: tl.constexpr, COUNTED: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """z = (x - mean) / std * weight + bias, with the statistics of x or the running ones.

    The first program of a block updates the running ones, or writes which were taken.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    if TRAINING:
        center = tl.load(mean + channel, mask=valid, other=0.0)
        inverse = tl.load(inverse_std + channel, mask=valid, other=1.0)
    else:
        center = tl.load(running_mean + channel, mask=valid, other=0.0).to(tl.float32)
        variance = tl.load(running_var + channel, mask=valid, other=1.0).to(tl.float32)
        inverse = tl.rsqrt(variance + eps)
        if tl.program_id(0) == 0:
            tl.store(mean + channel, center, mask=valid)
            tl.store(inverse_std + channel, inverse, mask=valid)
    factor = inverse * tl.load(weight + channel, mask=valid, other=0.0).to(tl.float32)
    shift = tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)
    kept = (pixel < pixels)[:, None] & valid[None, :]
    place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
    value = tl.load(x + place, mask=kept, other=0.0).to(tl.float32)
    value = (value - center[None, :]) * factor[None, :] + shift[None, :]
    tl.store(z + place, value.to(z.dtype.element_ty), mask=kept)
    if TRAINING and tl.program_id(0) == 0:
        variance = (1 / (inverse * inverse) - eps) * pixels / (pixels - 1)
        old = tl.load(running_mean + channel, mask=valid, other=0.0).to(tl.float32)
        new = old + momentum * (center - old)
        tl.store(running_mean + channel, new.to(running_mean.dtype.element_ty), mask=valid)
        old = tl.load(running_var + channel, mask=valid, other=0.0).to(tl.float32)
        new = old + momentum * (variance - old)
        tl.store(running_var + channel, new.to(running_var.dtype.element_ty), mask=valid)
        if COUNTED and tl.program_id(1) == 0:
            tl.store(tracked, tl.load(tracked) + 1)


@kernel
def branch_gradient_kernel(
    grad, kept, other, d, shift, layer_scale, scaled, partial, pixels, per_image, C, row_length,
    width,
    HAS_KEPT: tl.constexpr, HAS_D: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Gradient by a branch before its layer scale, and sums over a share of the pixels.

    scaled = kept * grad, (pixels, width), kept of each image. Sums: of scaled, and of scaled
    times other. With HAS_D ``other`` is GELU(d) of each pixel, column C of ``scaled`` gets the
    gradient by d, -GELU'(d) sum(shift layer_scale scaled), the columns after it zeros, and one
    more sum is of it.
    """
    channel = tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    sums = tl.zeros((PIXELS, CHANNELS), tl.float32)
    products = tl.zeros((PIXELS, CHANNELS), tl.float32)
    total = tl.zeros((PIXELS,), tl.float32)
    for first in range(tl.program_id(0) * PIXELS, pixels, tl.num_programs(0) * PIXELS):
        pixel = first + tl.arange(0, PIXELS)
        exists = pixel < pixels
        mask = exists[:, None] & valid[None, :]
        place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
        value = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
        if HAS_KEPT:
            value *= tl.load(kept + pixel // per_image, mask=exists, other=0.0)[:, None]
        sums += value
        target = scaled + (pixel.to(INDEX) * width)[:, None]
        tl.store(target + channel[None, :], value.to(scaled.dtype.element_ty), mask=mask)
        if HAS_D:
            at = tl.load(d + pixel, mask=exists, other=0.0)
            of_branch, slope = gelu_and_slope(at)
            products += value * of_branch[:, None]
            factor = tl.load(shift + channel, mask=valid, other=0.0)
            factor *= tl.load(layer_scale + channel, mask=valid, other=0.0).to(tl.float32)
            of_d = -slope * tl.sum(value * factor[None, :], 1)
            total += of_d
            extra = tl.arange(0, 8)
            tl.store(
                target + C + extra[None, :],
                tl.where(extra[None, :] == 0, of_d[:, None], 0.0).to(scaled.dtype.element_ty),
                mask=exists[:, None],
            )
        else:
            products += value * tl.load(other + place, mask=mask, other=0.0).to(tl.float32)
    partial += tl.program_id(0).to(tl.int64) * row_length
    tl.store(partial + channel, tl.sum(sums, 0), mask=valid)
    tl.store(partial + C + channel, tl.sum(products, 0), mask=valid)
    if HAS_D:
        tl.store(partial + 2 * C, tl.sum(total, 0))


@kernel
def gating_backward_kernel(
    grad_a, g, v, grad_g, grad_v, a, partial, pixels, C, row_length,
    DOUBLE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr,
    INDEX: tl.constexpr,
):  # fmt: skip
    """Back through A = SiLU(G) SiLU(V), or SiLU twice on each; A is computed again.

    Sums over a share of the pixels: of the gradient by G, then by V.
    """
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    sums_g = tl.zeros((PIXELS, CHANNELS), tl.float32)
    sums_v = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for first in range(tl.program_id(0) * PIXELS, pixels, tl.num_programs(0) * PIXELS):
        pixel = first + tl.arange(0, PIXELS)
        mask = (pixel < pixels)[:, None] & valid[None, :]
        place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
        at_g = tl.load(g + place, mask=mask, other=0.0).to(tl.float32)
        at_v = tl.load(v + place, mask=mask, other=0.0).to(tl.float32)
        grad = tl.load(grad_a + place, mask=mask, other=0.0).to(tl.float32)
        value_g, slope_g = silu_and_slope(at_g)
        value_v, slope_v = silu_and_slope(at_v)
        if DOUBLE:
            value_g, second_g = silu_and_slope(value_g)
            value_v, second_v = silu_and_slope(value_v)
            slope_g, slope_v = slope_g * second_g, slope_v * second_v
        to_g, to_v = grad * value_v * slope_g, grad * value_g * slope_v
        tl.store(grad_g + place, to_g.to(grad_g.dtype.element_ty), mask=mask)
        tl.store(grad_v + place, to_v.to(grad_v.dtype.element_ty), mask=mask)
        tl.store(a + place, (value_g * value_v).to(a.dtype.element_ty), mask=mask)
        sums_g += to_g
        sums_v += to_v
    partial += tl.program_id(0).to(tl.int64) * row_length
    tl.store(partial + channel, tl.sum(sums_g, 0), mask=valid)
    tl.store(partial + C + channel, tl.sum(sums_v, 0), mask=valid)


@kernel
def centered_gradient_kernel(
    grad_q, sums, scale, grad_p, pixels, per_image, C,
    PIXELS: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Back through Q = P + s (P - mean P): (1 + s) grad - s mean grad, mean over an image."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    mask = (pixel < pixels)[:, None] & valid[None, :]
    place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
    s = tl.load(scale + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    image = (pixel // per_image) * (2 * C)
    total = tl.load(sums + image[:, None] + channel[None, :], mask=mask, other=0.0)
    grad = tl.load(grad_q + place, mask=mask, other=0.0).to(tl.float32)
    grad = (1 + s) * grad - s * total / per_image
    tl.store(grad_p + place, grad.to(grad_p.dtype.element_ty), mask=mask)


@kernel
def norm_sums_kernel(
    grad, grad_z, layer_scale, kept, x, mean, inverse_std, partial, pixels, per_image, C,
    HAS_SHORTCUT: tl.constexpr, HAS_KEPT: tl.constexpr, PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Sums over a share of the pixels: of the gradient by z, and of it times the normed x.

    HAS_SHORTCUT adds kept * layer_scale * grad to the gradient: z is also a shortcut.
    """
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    center = tl.load(mean + channel, mask=valid, other=0.0)[None, :]
    inverse = tl.load(inverse_std + channel, mask=valid, other=0.0)[None, :]
    factor = tl.load(layer_scale + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    sums = tl.zeros((PIXELS, CHANNELS), tl.float32)
    products = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for first in range(tl.program_id(0) * PIXELS, pixels, tl.num_programs(0) * PIXELS):
        pixel = first + tl.arange(0, PIXELS)
        mask = (pixel < pixels)[:, None] & valid[None, :]
        place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
        to_z = tl.load(grad_z + place, mask=mask, other=0.0).to(tl.float32)
        if HAS_SHORTCUT:
            shortcut = factor * tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
            if HAS_KEPT:
                image = tl.load(kept + pixel // per_image, mask=pixel < pixels, other=0.0)
                shortcut *= image[:, None]
            to_z += shortcut
        normed = (tl.load(x + place, mask=mask, other=0.0).to(tl.float32) - center) * inverse
        sums += to_z
        products += to_z * normed
    partial += tl.program_id(0).to(tl.int64) * (2 * C)
    tl.store(partial + channel, tl.sum(sums, 0), mask=valid)
    tl.store(partial + C + channel, tl.sum(products, 0), mask=valid)


@kernel
def norm_backward_kernel(
    grad, grad_z, layer_scale, kept, x, mean, inverse_std, weight, partial, grad_x,
    grad_weight, grad_bias, pixels, per_image, C, shares,
    HAS_SHORTCUT: tl.constexpr, HAS_KEPT: tl.constexpr, TRAINING: tl.constexpr,
    PIXELS: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Gradient by x of a branch with its shortcut: grad + the batch norm's, from that by z.

    Every program first adds up the shares of :func:`norm_sums_kernel`, in the same order.
    """
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = tl.max_constancy(channel < C, VECTOR)
    sums = tl.zeros((16, CHANNELS), tl.float32)
    products = tl.zeros((16, CHANNELS), tl.float32)
    for first in range(0, shares, 16):
        share = first + tl.arange(0, 16)
        mask = (share < shares)[:, None] & valid[None, :]
        place = partial + (share * (2 * C))[:, None] + channel[None, :]
        sums += tl.load(place, mask=mask, other=0.0)
        products += tl.load(place + C, mask=mask, other=0.0)
    total, by_normed = tl.sum(sums, 0), tl.sum(products, 0)
    if tl.program_id(0) == 0:
        tl.store(grad_bias + channel, total, mask=valid)
        tl.store(grad_weight + channel, by_normed, mask=valid)
    total, by_normed = (total / pixels)[None, :], (by_normed / pixels)[None, :]
    center = tl.load(mean + channel, mask=valid, other=0.0)[None, :]
    inverse = tl.load(inverse_std + channel, mask=valid, other=0.0)[None, :]
    factor = inverse * tl.load(weight + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    a = tl.load(layer_scale + channel, mask=valid, other=0.0).to(tl.float32)[None, :]
    for first in range(tl.program_id(0) * PIXELS, pixels, tl.num_programs(0) * PIXELS):
        pixel = first + tl.arange(0, PIXELS)
        mask = (pixel < pixels)[:, None] & valid[None, :]
        place = (pixel.to(INDEX) * C)[:, None] + channel[None, :]
        to_z = tl.load(grad_z + place, mask=mask, other=0.0).to(tl.float32)
        to_y = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
        if HAS_SHORTCUT:
            shortcut = a * to_y
            if HAS_KEPT:
                image = tl.load(kept + pixel // per_image, mask=pixel < pixels, other=0.0)
                shortcut *= image[:, None]
            to_z += shortcut
        if TRAINING:
            normed = (tl.load(x + place, mask=mask, other=0.0).to(tl.float32) - center) * inverse
            to_z -= total + normed * by_normed
        tl.store(grad_x + place, (to_y + factor * to_z).to(grad_x.dtype.element_ty), mask=mask)


@triton.jit
def summed_rows(partial, flat, rows, length, block, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """flat = the sum of the rows of partial, (rows, length), for a block of columns."""
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, rows, ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & (column < length)[None, :]
        total += tl.load(partial + row[:, None] * length + column[None, :], mask=mask, other=0.0)
    tl.store(flat + column, tl.sum(total, 0), mask=column < length)


@kernel
def row_sums_kernel(
    partial_1, partial_2, partial_3, flat, rows_1, rows_2, rows_3, length_1, length_2, length_3,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums of the rows of three matrices, one behind the other in ``flat``, in a fixed order."""
    block = tl.program_id(0)
    blocks_1, blocks_2 = tl.cdiv(length_1, COLUMNS), tl.cdiv(length_2, COLUMNS)
    if block < blocks_1:
        summed_rows(partial_1, flat, rows_1, length_1, block, ROWS, COLUMNS)
    elif block < blocks_1 + blocks_2:
        block -= blocks_1
        summed_rows(partial_2, flat + length_1, rows_2, length_2, block, ROWS, COLUMNS)
    else:
        block -= blocks_1 + blocks_2
        flat += length_1 + length_2
        summed_rows(partial_3, flat, rows_3, length_3, block, ROWS, COLUMNS)
