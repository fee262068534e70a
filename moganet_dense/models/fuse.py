"""The fused model: the same function of a backbone in eval mode, with its norms folded in.

Folding follows from two facts about a norm in eval mode, n(x) = k x + c per channel: a 1x1
convolution of it is a 1x1 convolution of x, and it may be moved into the convolution before
it. A norm is never moved into a padded convolution after it, since zero padding is
between them. docs/speed.md has the formulas.
"""

from typing import Any, NamedTuple, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..utils.errors import UserError
from .blocks import ChannelAggregationFFN, MogaBlock, MultiOrderGatedAggregation, PatchEmbed, Stem
from .functional import bias_of, convs_of
from .kernels import compute_fused_block, fused_block_served


class DeployError(UserError, RuntimeError):
    """The backbone cannot be fused, or a fused backbone lacks the requested operation."""


class Affine(NamedTuple):
    """x -> scale x + shift per channel, (C,) each, float64."""

    scale: torch.Tensor
    shift: torch.Tensor


def affine_of(norm: nn.Module) -> Affine:
    """The affine function of a batch norm in eval mode.

    Raises:
        DeployError: another norm, or one without running statistics, whose result depends on
            the image.
    """
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
        raise DeployError(
            f'the fused model needs batch norms with running statistics, found {norm}; '
            'evaluate this model without fusing it'
        )
    mean, var = norm.running_mean.double(), norm.running_var.double()
    scale = (var + norm.eps).rsqrt()
    if not norm.affine:
        return Affine(scale, -mean * scale)
    scale = scale * norm.weight.double()
    return Affine(scale, norm.bias.double() - mean * scale)


class DeployedBlock(nn.Module):
    """A :class:`MogaBlock` in eval mode, and maybe the norm after it, without norms.

    X <- (1 + r) X + proj_2(gating(G, V));  X <- (1 + q) X + fc2(T) - w GELU(D), with D the last
    row of fc2 and r, q, w per channel. r and q are kept, which are as small as layer scales:
    1 + r in half precision would round the whole map in every block.
    """

    def __init__(self, block: MogaBlock, norm: nn.Module | None) -> None:
        super().__init__()
        self.gating = block.attn.gating
        self.taps = None  # prepared weights of the kernels
        with torch.no_grad():
            self._take_moga(block.attn, affine_of(block.norm1), _flat(block.layer_scale_1))
            width = block.layer_scale_2.shape[1]
            after = affine_of(norm) if norm else _identity(width, block.layer_scale_2)
            self._take_ffn(block.mlp, affine_of(block.norm2), _flat(block.layer_scale_2), after)

    def _take_moga(self, attn: MultiOrderGatedAggregation, norm: Affine, a: torch.Tensor) -> None:
        """P = (W (1 + s) k) X + (W c + b) - (W s k) mean X, and a Z joins the shortcut."""
        s, (w, b), (w2, b2) = _flat(attn.sigma.scale), _matrix(attn.proj_1), _matrix(attn.proj_2)
        like = attn.proj_1
        folded = w * norm.scale
        self.proj_1 = _conv1x1(folded * (1 + s)[:, None], w @ norm.shift + b, like)
        self.mean = _conv1x1(folded * s[:, None], None, like)
        self.gate, self.value = attn.gate, attn.value
        self.proj_2 = _conv1x1(w2 * a[:, None], a * (b2 + norm.shift), like)
        self.excess_1 = _per_channel(a * norm.scale, like)

    def _take_ffn(
        self, mlp: ChannelAggregationFFN, norm: Affine, b: torch.Tensor, after: Affine
    ) -> None:
        """fc1 takes the norm in, fc2 the decomposition, the layer scale and the norm after."""
        s, (w, bias), (row, row_bias) = (
            _flat(mlp.sigma.scale),
            *map(_matrix, (mlp.fc1, mlp.decompose)),
        )
        self.fc1 = _conv1x1(w * norm.scale, w @ norm.shift + bias, mlp.fc1)
        self.dwconv = mlp.dwconv
        w, bias = _matrix(mlp.fc2)
        scale = b * after.scale
        w, bias = w * scale[:, None], bias * scale + after.shift
        rows = torch.cat([w * (1 + s), row])
        self.fc2 = _conv1x1(rows, torch.cat([bias, row_bias]), mlp.fc2)
        self.shift = _per_channel(w @ s, mlp.fc2)
        self.excess_2 = _per_channel(after.scale - 1, mlp.fc2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if fused_block_served(self, x):
            return compute_fused_block(self, x)
        p = self.proj_1(x).sub_(self.mean(x.mean((2, 3), keepdim=True)))
        u = F.silu(p, inplace=True)
        g, v = self.gate(u), self.value(self.value.DW_conv0(u))
        (y,) = convs_of(self.gating, [g, v], self.proj_2)
        x = _with_shortcut(y, x, self.excess_1).to(x.dtype)
        t = torch.ops.aten.gelu_(self.dwconv(self.fc1(x)))
        y, d = self.fc2(t).split([self.shift.shape[1], 1], dim=1)
        y = torch.addcmul(y, self.shift, F.gelu(d), value=-1)
        return _with_shortcut(y, x, self.excess_2)


def _with_shortcut(y: torch.Tensor, x: torch.Tensor, excess: torch.Tensor) -> torch.Tensor:
    """y + (1 + r) x, in the wider dtype of both; in one pass where 1 + r is exact enough."""
    y = y.to(torch.promote_types(y.dtype, x.dtype))  # under autocast
    if excess.dtype in (torch.float32, torch.float64):
        return y.addcmul_(x, 1 + excess)
    return y.addcmul_(x, excess).add_(x)


def deployed_patch_embed(embed: Stem | PatchEmbed) -> nn.Module:
    """The patch embed with each norm moved into the convolution before it."""
    if isinstance(embed, PatchEmbed):
        return conv_with_norm(embed.projection, embed.norm)
    conv1, norm1, act, conv2, norm2 = cast(Any, embed.projection)
    return nn.Sequential(conv_with_norm(conv1, norm1), act, conv_with_norm(conv2, norm2))


def conv_with_norm(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """One convolution for ``norm(conv(x))`` in eval mode."""
    scale, shift = affine_of(norm)
    geometry: Any = (conv.kernel_size, conv.stride, conv.padding)
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, *geometry)
    folded.to(conv.weight)
    with torch.no_grad():
        folded.weight.copy_(conv.weight.double() * scale.view(-1, 1, 1, 1))
        bias_of(folded).copy_(bias_of(conv).double() * scale + shift)
    return folded


def _identity(width: int, like: torch.Tensor) -> Affine:
    zeros = torch.zeros(width, dtype=torch.float64, device=like.device)
    return Affine(zeros + 1, zeros)


def _flat(per_channel: torch.Tensor) -> torch.Tensor:
    return per_channel.double().flatten()


def _matrix(conv: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (out, in) and bias (out,) of a 1x1 convolution."""
    return conv.weight.double().flatten(1), bias_of(conv).double()


def _conv1x1(weight: torch.Tensor, bias: torch.Tensor | None, like: nn.Conv2d) -> nn.Conv2d:
    """The 1x1 convolution with this matrix, in dtype and device of ``like``."""
    out, width = weight.shape
    conv = nn.Conv2d(width, out, 1, bias=bias is not None).to(like.weight)
    conv.weight.copy_(weight[:, :, None, None])
    if bias is not None:
        bias_of(conv).copy_(bias)
    return conv


def _per_channel(values: torch.Tensor, like: nn.Conv2d) -> nn.Parameter:
    return nn.Parameter(values.to(like.weight.dtype).view(1, -1, 1, 1))
