"""Calls of the kernels on tensors: new maps, and the launch. No autograd here.

Maps are (B, C, H, W) in channels_last; ``rows`` is the same memory as (pixels, C). Tiles and grids
are those of ``launchers.py``. Where a kernel takes a tensor that an option leaves out, it gets
another one, which it does not read. Kernels read memory: a map whose shape is that of another
argument may come as rows.
"""

import torch

from . import launchers

Tensor = torch.Tensor


def rows(x: Tensor) -> Tensor:
    """(B, C, H, W) in channels_last as (B H W, C): a view, in one operation."""
    batch, channels, height, width = x.shape
    return x.as_strided((batch * height * width, channels), (channels, 1))


def as_map(matrix: Tensor, like: Tensor) -> Tensor:
    """(B H W, C) as (B, C, H, W) in channels_last: a view, in one operation."""
    (batch, _, height, width), channels = like.shape, matrix.shape[1]
    strides = (height * width * channels, 1, width * channels, channels)
    return matrix.as_strided((batch, channels, height, width), strides)


def map_like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A new map of the shape and layout of ``x``, not filled."""
    return torch.empty_like(x, dtype=dtype)


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
    launcher = launchers.depthwise(
        x.shape, kernel, dilation, bias is not None, gelu, flipped, summed
    )
    y, partial = map_like(x), taps
    if summed:
        groups, _, batch = launcher.grid
        partial = x.new_empty(batch * groups, x.shape[1], dtype=torch.float32)
    launcher(x, taps, taps if bias is None else bias, y, partial)
    return y, partial if summed else None


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
    y = map_like(u0)
    biases = (taps_1, taps_2) if bias_1 is None or bias_2 is None else (bias_1, bias_2)
    launchers.context(u0.shape, flipped)(u0, taps_1, biases[0], taps_2, biases[1], y)
    return y


def weight_gradient(grad: Tensor, x: Tensor, kernel: int, dilation: int, partial: Tensor) -> None:
    """Gradient by weight and bias of a depth-wise convolution, shares of it into ``partial``.

    ``partial`` is (shares, C * (k * k + 1)): (C, k, k), then (C,). ``x`` may come as rows.
    """
    launcher = launchers.weight_gradient(grad.shape, grad.dtype, kernel, dilation, *partial.shape)
    launcher(grad, x, partial)


def context_weight_gradient(grad: Tensor, u0: Tensor, partial: Tensor) -> None:
    """Gradients by the weights and biases of the context, shares of them into ``partial``.

    ``partial`` is (shares, 26 * 3C / 8 + 50 * C / 2): of the 5x5, then of the 7x7.
    """
    launcher = launchers.context_weight_gradient(u0.shape, u0.dtype, *partial.shape)
    launcher(grad, u0, partial)


def row_sums(partials: tuple[Tensor, ...], flat: Tensor) -> None:
    """Sums of the rows of up to three float32 matrices, one behind the other in ``flat``."""
    missing = 3 - len(partials)
    shapes = [partial.shape for partial in partials] + missing * [torch.Size((0, 0))]
    counts, lengths = zip(*shapes, strict=True)
    launchers.row_sums(counts, lengths)(*partials, *missing * [flat], flat)


def decomposed_backward(
    grad_u0: Tensor, grad_u: Tensor, p: Tensor, sigma: Tensor, p_mean: Tensor, taps: Tensor,
    u: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradient by Q = P + s (P - mean P) from those by U = SiLU(Q), and sums; fills ``u`` with U.

    The gradient by U is ``grad_u`` and what comes through the 5x5 from ``grad_u0``. The sums are
    (B, tiles, 2, C): of the gradient, and of it times P - mean P.
    """
    launcher = launchers.decomposed_backward(p.shape)
    groups, _, batch = launcher.grid
    grad = map_like(p)
    partial = p.new_empty(batch, groups, 2, p.shape[1], dtype=torch.float32)
    launcher(grad_u0, grad_u, p, sigma, p_mean, taps, grad, u, partial)
    return grad, partial


def gelu_backward(x: Tensor, grad: Tensor, taps: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """T = GELU(t), t = conv3x3(x) + bias, computed again, and the gradient by t from that by T."""
    y, grad_t = map_like(x), map_like(x)
    launchers.gelu_backward(x.shape)(x, grad, taps, bias, y, grad_t)
    return y, grad_t


def normalize(
    x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor,
    running: tuple[Tensor, Tensor, Tensor | None], training: bool, momentum: float, eps: float,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Batch norm of ``x``, in ``dtype``.

    Args:
        x: (B, C, H, W).
        mean: of x, (C,), float32; not ``training``: filled with the running one.
        inverse: 1 / std, likewise.
        weight: (C,).
        bias: (C,).
        running: mean, variance and, or None, the number of batches; ``training`` updates them.
        training: whether the statistics are those of x.
        momentum: of the running statistics.
        eps: added to the variance.
        dtype: of the result.
    """
    z, (running_mean, running_var, tracked) = map_like(x, dtype=dtype), running
    counts = training and tracked is not None
    launcher = launchers.normalize(x.shape, training, counts, momentum, eps)
    counted = mean if tracked is None else tracked
    launcher(x, mean, inverse, weight, bias, z, running_mean, running_var, counted)
    return z


def branch_gradient(
    grad: Tensor, kept: Tensor | None, partial: Tensor, scaled: Tensor,
    z: Tensor | None = None, row: tuple[Tensor, Tensor, Tensor] | None = None,
) -> None:  # fmt: skip
    """Fills ``scaled`` with the gradient by a branch before its layer scale, and ``partial``.

    ``scaled`` is (pixels, C); with ``row``, which is d, shift and layer scale, (pixels, C + 8).
    ``partial``, (shares, 2 C) or (shares, 2 C + 1), gets its sums; see the kernel.
    """
    launcher = launchers.branch_gradient(
        grad.shape, scaled.shape[1], *partial.shape, kept is not None, row is not None
    )
    launcher(
        grad, grad if kept is None else kept, grad if z is None else z,
        *(row or (partial, partial, partial)), scaled, partial,
    )  # fmt: skip


def gating_backward(
    grad_a: Tensor, g: Tensor, v: Tensor, grad_g: Tensor, grad_v: Tensor, a: Tensor,
    partial: Tensor, double: bool,
) -> None:  # fmt: skip
    """Back through the gating: fills ``grad_g``, ``grad_v``, A again, and (shares, 2 C) sums."""
    launcher = launchers.gating_backward(g.shape, partial.shape[0], partial.stride(0), double)
    launcher(grad_a, g, v, grad_g, grad_v, a, partial)


def centered_gradient(grad: Tensor, sums: Tensor, sigma: Tensor) -> Tensor:
    """Gradient by P from that by Q = P + s (P - mean P) and its sums, (B, 2, C)."""
    grad_p = map_like(grad)
    launchers.centered_gradient(grad.shape)(grad, sums, sigma, grad_p)
    return grad_p


def norm_backward(
    grad: Tensor, grad_z: Tensor, layer_scale: Tensor | None, kept: Tensor | None, x: Tensor,
    norm: tuple[Tensor, ...], training: bool, grad_weight: Tensor, grad_bias: Tensor,
) -> Tensor:  # fmt: skip
    """Gradient by x of a batch norm with the shortcut's ``grad`` added; fills the others.

    ``grad_z`` is the gradient by the normed map, to which ``kept * layer_scale * grad`` is added
    where a layer scale is given: the normed map is a shortcut of its own.
    """
    mean, inverse, weight = norm[:3]
    sums, gradient = launchers.norm_backward(
        x.shape, layer_scale is not None, kept is not None, training
    )
    partial = x.new_empty(sums.grid[0] * 2 * x.shape[1], dtype=torch.float32)
    scale = weight if layer_scale is None else layer_scale
    tensors = (grad, grad_z, scale, mean if kept is None else kept, x, mean, inverse)
    sums(*tensors, partial)
    grad_x = map_like(x)
    gradient(*tensors, weight, partial, grad_x, grad_weight, grad_bias)
    return grad_x


def scaled_weight_gradient(
    raw: Tensor, weight: Tensor, layer_scale: Tensor, bias: Tensor, sums: Tensor,
    grad_scale: Tensor, grad_bias: Tensor, *,
    shift: tuple[Tensor, Tensor] | None = None, of_images: tuple[Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Gradient by the weight W of a (W T + b + other), (C, K); fills those by a and b.

    Args:
        raw: grad^T T, (C, K), or with more rows.
        weight: W.
        layer_scale: a, (C,).
        bias: b, (C,).
        sums: of grad, and of grad times other, (2 C,).
        grad_scale: gets the gradient by a.
        grad_bias: gets the gradient by b.
        shift: where other is -shift GELU(d), and what gets the gradient by it, (C,).
        of_images: else sums of each image, (B, 2, C), and what gets their sum, (2 C,) from its
            address on.
    """
    channels, inner = weight.shape[:2]
    grad_weight = raw.new_empty(channels, inner)
    given_shift, grad_shift = shift or (sums, sums)
    given_images, sum_of_images = of_images or (sums, sums)
    launchers.scaled_weight_gradient(
        channels, inner, given_images.shape[0] if of_images else 1, shift is not None
    )(
        raw, weight, layer_scale, sums, bias, given_shift, given_images, grad_weight, grad_scale,
        grad_bias, grad_shift, sum_of_images,
    )  # fmt: skip
    return grad_weight


def decomposed_weight_gradient(
    grad_folded: Tensor, grad_shift: Tensor, weight: Tensor, sigma: Tensor, grad_sigma: Tensor
) -> Tensor:
    """Gradient by W from those by W (1 + s), (C, R), and W s, (C,); fills that by s, (R,)."""
    grad_weight = torch.empty_like(grad_folded)
    launchers.decomposed_weight_gradient(*grad_folded.shape)(
        grad_folded, grad_shift, weight, sigma, grad_weight, grad_sigma
    )
    return grad_weight


def _tf32(x: Tensor) -> bool:
    """Whether products of float32 may be computed in TensorFloat32."""
    return x.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32


def projected(
    z: Tensor, weight: Tensor, bias: Tensor, sigma: Tensor | None, z_mean: Tensor, keep_p: bool,
    mean_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """U = SiLU(P + s (P - mean P)) of P = W Z + b: (U, P, mean P), the last two with ``keep_p``.

    With ``mean_weight``, U = SiLU(P - mean_weight mean Z), as the fused form has it.
    """
    u, folded = map_like(z), mean_weight is not None
    p, p_mean = (map_like(z), torch.empty_like(z_mean)) if keep_p else (u, z_mean)
    launcher = launchers.projected(z.shape, z.dtype, _tf32(z), keep_p, folded)
    launcher(
        z, weight, bias, bias if sigma is None else sigma, z_mean,
        weight if mean_weight is None else mean_weight, p, u, p_mean,
    )  # fmt: skip
    return u, p, p_mean


def gated(
    u: Tensor, context: Tensor, gate: tuple[Tensor, Tensor], value: tuple[Tensor, Tensor],
    double: bool, keep_gv: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A = SiLU(G) SiLU(V) of G = gate(U), V = value(context): (A, G, V), the last with ``keep_gv``.

    A is float32 where U is float16: the product of two moderate factors is beyond float16.
    """
    a = map_like(u, dtype=guarded(u.dtype))
    g, v = (map_like(u), map_like(u)) if keep_gv else (u, u)
    launcher = launchers.gated(u.shape, u.dtype, _tf32(u), double, keep_gv)
    launcher(u, context, *gate, *value, g, v, a)
    return a, g, v


def guarded(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the gated product: float32 for float16, which it would leave."""
    return torch.float32 if dtype == torch.float16 else dtype


def residual(
    t: Tensor, weight: Tensor, bias: Tensor, x: Tensor, dtype: torch.dtype, *,
    norm: tuple[Tensor, ...] | None = None, kept: Tensor | None = None,
    layer_scale: Tensor | None = None, excess: Tensor | None = None,
    row: tuple[Tensor, Tensor, Tensor] | None = None, keep_d: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """y = (1 + r) x + kept a (W T + b + n(x) - shift GELU(d)), and d if ``keep_d``; see the kernel.

    Args:
        t: (B, K, H, W).
        weight: (C, K) in the dtype of t.
        bias: (C,).
        x: the shortcut, (B, C, H, W).
        dtype: of y.
        norm: mean, 1 / std, weight and bias of n, (C,); None leaves it out, as all that follow.
        kept: factor of each image, (B,): what drop path drew.
        layer_scale: a, (C,).
        excess: r, (C,).
        row: weight (K,) in the dtype of t and bias (1,) of d, and shift (C,).
        keep_d: whether d, (B H W,) float32, is returned.
    """
    guards = t.dtype == torch.float32 and x.dtype == torch.float16
    launcher = launchers.residual(
        x.shape, t.shape[1], t.dtype, guards or _tf32(t), norm is not None, kept is not None,
        layer_scale is not None, excess is not None, row is not None, keep_d,
    )  # fmt: skip
    y, d = map_like(x, dtype=dtype), bias
    if keep_d:
        d = x.new_empty(x.numel() // x.shape[1], dtype=torch.float32)
    launcher(
        t, weight, bias, x, *(norm or (bias, bias, bias, bias)), x if kept is None else kept,
        bias if layer_scale is None else layer_scale,
        bias if excess is None else excess, *(row or (weight, bias, bias)), d, y,
    )  # fmt: skip
    return y, d if keep_d else None
