"""A block of the backbone, computed by the kernels' operators."""

from typing import Any

import torch
import torch.nn as nn

from . import operators
from .branches import Prepared
from .choice import dtype_for

Tensor = torch.Tensor


def compute_block(
    block: Any, x: Tensor, kept_1: Tensor | None, kept_2: Tensor | None,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Runs a MogaBlock on a map supported by :func:`.choice.reason_against`.

    Args:
        block: the block, a MogaBlock.
        x: its map, (B, C, H, W) in channels_last.
        kept_1: the factor that drop path drew for the first branch, (B, 1, 1, 1), or None.
        kept_2: for the second.
        dtype: of maps and products; None: the autocast dtype, or that of ``x``.
    """
    dtype = dtype or dtype_for(x)
    attn, mlp = block.attn, block.mlp
    value, sigma_1, sigma_2 = attn.value, attn.sigma.scale, mlp.sigma.scale
    scale_1, scale_2 = block.layer_scale_1, block.layer_scale_2
    proj_1, gate, dw_0, dw_1, dw_2, pointwise, proj_2, fc1, dw_3, row, fc2 = map(
        _weight_and_bias, (
            attn.proj_1, attn.gate, value.DW_conv0, value.DW_conv1, value.DW_conv2, value.PW_conv,
            attn.proj_2, mlp.fc1, mlp.dwconv, mlp.decompose, mlp.fc2,
        ),
    )  # fmt: skip
    moga = (*proj_1, sigma_1, *gate, *dw_0, *dw_1, *dw_2, *pointwise, *proj_2, scale_1)
    ffn = (*fc1, *dw_3, *row, sigma_2, *fc2, scale_2)
    ops = operators.eager if operators.has_eager(x) else operators.dispatched
    ready = ops.prepared(
        proj_1[0], gate[0], pointwise[0], proj_2[0], scale_1, fc1[0], fc1[1], fc2[0], sigma_2,
        scale_2, row[0], dw_0[0], dw_1[0], dw_2[0], dw_3[0], dtype,
    )  # fmt: skip
    of_moga, of_ffn = Prepared(*ready).of_branches()
    double = type(attn.gating).__name__ == 'DoubleGating'
    for branch, norm, params, weights, kept, scale in [
        (ops.moga, block.norm1, moga, of_moga, kept_1, scale_1),
        (ops.ffn, block.norm2, ffn, of_ffn, kept_2, scale_2),
    ]:
        z, mean, inverse = _normalized(ops, norm, x, dtype)
        norm_weight, norm_bias = _weight_and_bias(norm)
        factor = kept if kept is None or kept.dtype == torch.float32 else kept.float()
        keep = torch.is_grad_enabled() and (
            x.requires_grad or any(p.requires_grad for p in (*params, norm_weight, norm_bias))
        )
        x, *_ = branch(
            x, z, mean, inverse, norm_weight, norm_bias, *params, *weights, factor, norm.eps,
            double, norm.training, keep, torch.promote_types(x.dtype, scale.dtype),
        )  # fmt: skip
    return x


def _weight_and_bias(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Of a convolution or a norm: 0.1 us, where two attributes of a module take 1.2."""
    held = module._parameters
    if 'weight' in held and 'bias' in held:
        return held['weight'], held['bias']  # type: ignore[return-value]
    return module.weight, module.bias  # type: ignore[return-value]  # parametrized, or sharded


def _normalized(
    ops: Any, norm: nn.BatchNorm2d, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    if norm.training and x.numel() == x.shape[1]:
        raise ValueError(f'Expected more than 1 value per channel when training, got {x.shape}')
    return ops.normalized(
        x.detach(), *_weight_and_bias(norm), norm.running_mean, norm.running_var,
        norm.num_batches_tracked, norm.training, norm.momentum, norm.eps, dtype,
    )  # fmt: skip
