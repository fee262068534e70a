"""Matrix products on (pixels, C) whose neighbours ride along: what cuBLAS cannot fuse.

Each takes weights as PyTorch keeps those of a 1x1 convolution, (outputs, inputs), in the dtype of
the map that it reads, and adds in float32. A program owns (PIXELS, OUTPUTS) of the result.
"""

import triton
import triton.language as tl

from .activations import gelu, silu
from .jit import kernel


@triton.jit
def dot(left, right, sums, PRECISION: tl.constexpr):
    """sums + left @ right. Triton's interpreter has no product of bfloat16."""
    if PRECISION == 'interpreted':
        return tl.dot(left.to(tl.float32), right.to(tl.float32), sums)
    return tl.dot(left, right, sums, input_precision=PRECISION)


@kernel
def projected_kernel(
    z, weight, bias, scale, z_mean, mean_weight, p, u, p_mean, per_image, C,
    HAS_P: tl.constexpr, FOLDED: tl.constexpr, PRECISION: tl.constexpr, PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """P = W Z + b and U = SiLU(P + s (P - mean P)), with mean P = W mean Z + b in the same pass.

    HAS_P writes P, and mean P, (B, C), for backward. FOLDED, for the fused form:
    U = SiLU(W Z + b - mean_weight mean Z).
    """
    image = tl.program_id(2)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    exists, valid = pixel < per_image, tl.max_constancy(output < C, VECTOR)
    row = (image * per_image + pixel).to(INDEX) * C
    sums = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    center = tl.zeros((OUTPUTS,), tl.float32)
    for k in range(0, C, INPUTS):
        at = k + tl.arange(0, INPUTS)
        inner = tl.max_constancy(at < C, VECTOR)
        left = tl.load(
            z + row[:, None] + at[None, :], mask=exists[:, None] & inner[None, :], other=0.0
        )
        right = tl.load(
            weight + output[None, :] * C + at[:, None], mask=valid[None, :] & inner[:, None],
            other=0.0,
        )  # fmt: skip
        sums = dot(left, right, sums, PRECISION)
        average = tl.load(z_mean + image * C + at, mask=inner, other=0.0)
        if FOLDED:
            right = tl.load(
                mean_weight + output[None, :] * C + at[:, None],
                mask=valid[None, :] & inner[:, None], other=0.0,
            )  # fmt: skip
        center += tl.sum(right.to(tl.float32) * average[:, None], 0)
    shift = tl.load(bias + output, mask=valid, other=0.0).to(tl.float32)
    value = sums + shift[None, :]
    if FOLDED:
        q = value - center[None, :]
    else:
        center += shift
        s = tl.load(scale + output, mask=valid, other=0.0).to(tl.float32)
        q = value + s[None, :] * (value - center[None, :])
    mask = exists[:, None] & valid[None, :]
    place = row[:, None] + output[None, :]
    tl.store(u + place, silu(q).to(u.dtype.element_ty), mask=mask)
    if HAS_P:
        tl.store(p + place, value.to(p.dtype.element_ty), mask=mask)
        if tl.program_id(0) == 0:
            tl.store(p_mean + image * C + output, center, mask=valid)


@kernel
def gated_kernel(
    u, context, gate_weight, gate_bias, value_weight, value_bias, g, v, a, pixels, C,
    DOUBLE: tl.constexpr, HAS_GV: tl.constexpr, PRECISION: tl.constexpr, PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """A = SiLU(G) SiLU(V), or SiLU twice on each, of G = gate(U) and V = value(context).

    HAS_GV writes G and V too, for backward.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    exists, valid = pixel < pixels, tl.max_constancy(output < C, VECTOR)
    row = pixel.to(INDEX) * C
    at_g = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    at_v = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    for k in range(0, C, INPUTS):
        at = k + tl.arange(0, INPUTS)
        inner = tl.max_constancy(at < C, VECTOR)
        left_mask = exists[:, None] & inner[None, :]
        right_mask = valid[None, :] & inner[:, None]
        place = row[:, None] + at[None, :]
        right = output[None, :] * C + at[:, None]
        at_g = dot(
            tl.load(u + place, mask=left_mask, other=0.0),
            tl.load(gate_weight + right, mask=right_mask, other=0.0),
            at_g, PRECISION,
        )  # fmt: skip
        at_v = dot(
            tl.load(context + place, mask=left_mask, other=0.0),
            tl.load(value_weight + right, mask=right_mask, other=0.0),
            at_v, PRECISION,
        )  # fmt: skip
    mask = exists[:, None] & valid[None, :]
    place = row[:, None] + output[None, :]
    at_g += tl.load(gate_bias + output, mask=valid, other=0.0).to(tl.float32)[None, :]
    if HAS_GV:
        tl.store(g + place, at_g.to(g.dtype.element_ty), mask=mask)
    factor = silu(silu(at_g)) if DOUBLE else silu(at_g)
    at_v += tl.load(value_bias + output, mask=valid, other=0.0).to(tl.float32)[None, :]
    if HAS_GV:
        tl.store(v + place, at_v.to(v.dtype.element_ty), mask=mask)
    factor *= silu(silu(at_v)) if DOUBLE else silu(at_v)
    tl.store(a + place, factor.to(a.dtype.element_ty), mask=mask)


@kernel
def residual_kernel(
    t, weight, bias, x, mean, inverse_std, norm_weight, norm_bias, kept, layer_scale,
    excess, row_weight, row_bias, shift, d, y,
    pixels, per_image, C, K,
    HAS_NORM: tl.constexpr, HAS_KEPT: tl.constexpr, HAS_SCALE: tl.constexpr,
    HAS_EXCESS: tl.constexpr, HAS_D: tl.constexpr, KEEPS_D: tl.constexpr,
    PRECISION: tl.constexpr, PIXELS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
    VECTOR: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """y = (1 + r) x + kept a (W T + b + n(x) - shift GELU(d)), d = row . T + row_bias, by option.

    n is the batch norm, in float32; r, a, shift per channel, kept per image, d per pixel: the
    last product of a branch, its layer scale, drop path and shortcut. d is one more output of
    the product, so all of T is read once.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    exists, valid = pixel < pixels, tl.max_constancy(output < C, VECTOR)
    row = pixel.to(INDEX)
    sums = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    at_d = tl.zeros((PIXELS, 16), tl.float32)
    first = (tl.arange(0, 16) == 0)[None, :]
    for k in range(0, K, INPUTS):
        at = k + tl.arange(0, INPUTS)
        inner = tl.max_constancy(at < K, VECTOR)
        left = tl.load(
            t + (row * K)[:, None] + at[None, :], mask=exists[:, None] & inner[None, :], other=0.0
        )
        right = tl.load(
            weight + output[None, :] * K + at[:, None], mask=valid[None, :] & inner[:, None],
            other=0.0,
        )  # fmt: skip
        sums = dot(left, right, sums, PRECISION)
        if HAS_D:
            extra = tl.load(row_weight + at[:, None] + tl.zeros((1, 16), tl.int32),
                            mask=inner[:, None] & first, other=0.0)  # fmt: skip
            at_d = dot(left, extra, at_d, PRECISION)
    mask = exists[:, None] & valid[None, :]
    place = (row * C)[:, None] + output[None, :]
    value = sums + tl.load(bias + output, mask=valid, other=0.0).to(tl.float32)[None, :]
    if HAS_D:
        of_pixel = tl.sum(at_d, 1) + tl.load(row_bias).to(tl.float32)
        factor = tl.load(shift + output, mask=valid, other=0.0).to(tl.float32)
        value -= factor[None, :] * gelu(of_pixel)[:, None]
        if KEEPS_D and tl.program_id(1) == 0:
            tl.store(d + pixel, of_pixel, mask=exists)
    shortcut = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    if HAS_NORM:
        factor = tl.load(inverse_std + output, mask=valid, other=0.0)
        factor *= tl.load(norm_weight + output, mask=valid, other=0.0).to(tl.float32)
        center = tl.load(mean + output, mask=valid, other=0.0)
        added = tl.load(norm_bias + output, mask=valid, other=0.0).to(tl.float32)
        value += (shortcut - center[None, :]) * factor[None, :] + added[None, :]
    if HAS_SCALE:
        value *= tl.load(layer_scale + output, mask=valid, other=0.0).to(tl.float32)[None, :]
    if HAS_KEPT:
        value *= tl.load(kept + pixel // per_image, mask=exists, other=0.0)[:, None]
    if HAS_EXCESS:
        r = tl.load(excess + output, mask=valid, other=0.0).to(tl.float32)
        shortcut += shortcut * r[None, :]
    tl.store(y + place, (shortcut + value).to(y.dtype.element_ty), mask=mask)
