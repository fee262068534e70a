"""Building blocks of MogaNet, written from the formulas of the paper.

Paper: Li et al., "MogaNet: Multi-order Gated Aggregation Network", ICLR 2024,
https://arxiv.org/abs/2211.03295 (sections 4.2 to 4.4). Module and parameter names
are those of the published checkpoints (https://github.com/Westlake-AI/MogaNet,
Apache-2.0), so that published files fit without renaming.

Notation: C channels, B batch, H and W height and width. Every convolution has a
bias. Maps are (B, C, H, W), floating point.

The docstring of a block has its formula; ``formulas`` computes it as written, and
``rearranged`` the same in an order that takes less time and memory on a CPU, with the
identities of docs/speed.md. Which of them ``forward`` calls, or whether fused kernels serve
the whole block, is decided in one place: :func:`.kernels.implementation_for`.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn as nn
import torch.nn.functional as F

from .functional import (
    DoubleGating,
    Gating,
    Gelu,
    Silu,
    bias_of,
    conv1x1_of,
    convs_of,
    dilated_depthwise,
    plain_convs_of,
)
from .kernels import Implementation, block_served, compute_block, implementation_for

Compute = Callable[['MogaBlock', torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
NORMS = {'BN': nn.BatchNorm2d, 'SyncBN': nn.SyncBatchNorm, 'GN': nn.GroupNorm}


def build_norm(norm_cfg: Mapping, channels: int) -> nn.Module:
    """Normalisation layer over ``channels``, from a config in OpenMMLab's form.

    Args:
        norm_cfg: ``type`` is BN, SyncBN or GN; ``requires_grad`` (default True) says
            whether weight and bias are trained; other keys go to the layer (GN needs
            ``num_groups``).
        channels: number of channels of the map to normalise.

    Raises:
        ValueError: unknown ``type``, or no ``num_groups`` for GN.
    """
    if not isinstance(norm_cfg, Mapping):
        raise ValueError(f'norm_cfg: expected a dict with type, found {norm_cfg!r}')
    options = dict(norm_cfg)
    kind = options.pop('type', None)
    trained = options.pop('requires_grad', True)
    if kind not in NORMS:
        raise ValueError(f'norm_cfg: unknown type {kind!r}; valid: {", ".join(NORMS)}')
    if kind == 'GN' and 'num_groups' not in options:
        raise ValueError('norm_cfg: GN needs num_groups, a divisor of every width')
    count = 'num_channels' if kind == 'GN' else 'num_features'
    return NORMS[kind](**{count: channels}, **options).requires_grad_(trained)


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch per sample, in training only."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return F.dropout(x.new_ones(len(x), 1, 1, 1), self.rate) * x

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'


class ElementScale(nn.Module):
    """S(X) = s * X with a learnable s per channel."""

    def __init__(self, channels: int, init_value: float = 1e-5) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), init_value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x


class ChannelAggregationFFN(nn.Module):
    """Channel aggregation, CA (paper section 4.3, equations 7 and 8).

    T = GELU(DW3x3(Conv1x1(Z)));  T <- T + s * (T - GELU(T W_r));  Y = Conv1x1(T).

    Args:
        channels: C of input and output.
        ratio: hidden width is int(ratio * C).
        drop_rate: dropout after the activation and after the last convolution.
    """

    def __init__(self, channels: int, ratio: float, drop_rate: float = 0.0) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.act = nn.GELU()
        self.decompose = nn.Conv2d(hidden, 1, 1)
        self.sigma = ElementScale(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        dropout = self.training and self.drop.p > 0  # does not let the formula be rearranged
        if not dropout and implementation_for(z) is Implementation.REARRANGED:
            return self.rearranged(z)
        return self.formulas(z)

    def formulas(self, z: torch.Tensor) -> torch.Tensor:
        """The equations as the paper has them."""
        t = self.drop(self.act(self.dwconv(self.fc1(z))))
        d = self.act(self.decompose(t))  # (B, 1, H, W)
        t = t + self.sigma(t - d)
        return self.drop(self.fc2(t))

    def rearranged(self, z: torch.Tensor) -> torch.Tensor:
        """The same without a pass over the wide T after its convolution."""
        t = self.dwconv(self.fc1(z))
        # fc2(T + s (T - D)) = (W (1 + s)) T + b - (W s) D, and D's own convolution is one
        # more row of the same matrix: no element-wise pass over the wide T
        scale, weight = self.sigma.scale, self.fc2.weight
        weights = torch.cat([weight * (1 + scale), self.decompose.weight])
        biases = torch.cat([bias_of(self.fc2), bias_of(self.decompose)])
        y, d = conv1x1_of(Gelu(), t, weights, biases).split([self.fc2.out_channels, 1], dim=1)
        shift = (weight * scale).sum(1).view(1, -1, 1, 1)
        return torch.addcmul(y, shift, self.act(d), value=-1)


class MultiOrderDWConv(nn.Module):
    """Context branch of Moga: depth-wise convolutions of three orders (section 4.2).

    A 5x5 depth-wise convolution over all channels; then, with the channels split
    1 : 3 : 4, nothing, a 5x5 of dilation 2 and a 7x7 of dilation 3 on its result; then
    a 1x1 convolution mixes them. Called with the result of the first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle, high = 3 * channels // 8, 4 * channels // 8
        self.split = (channels - middle - high, middle, high)
        self.DW_conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.DW_conv1 = nn.Conv2d(middle, middle, 5, padding=4, dilation=2, groups=middle)
        self.DW_conv2 = nn.Conv2d(high, high, 7, padding=9, dilation=3, groups=high)
        self.PW_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, u0: torch.Tensor) -> torch.Tensor:
        low, middle, high = u0.split(self.split, dim=1)
        middle = dilated_depthwise(middle, self.DW_conv1)
        high = dilated_depthwise(high, self.DW_conv2)
        return self.PW_conv(torch.cat([low, middle, high], dim=1))


class MultiOrderGatedAggregation(nn.Module):
    """Spatial aggregation, Moga (section 4.2, equations 3 to 6), with its own shortcut.

    P = proj_1(Z);  U = SiLU(P + s * (P - mean P));  G = gate(U);  V = value(U);
    Y = proj_2(SiLU(G) * SiLU(V)) + Z.

    Args:
        channels: C of input and output.
        gate: 'single' is the formula, as the paper has it; 'double' applies SiLU twice to
            G and V. It is the function that checkpoints of OpenMixup and mmpretrain were
            trained with (their option attn_force_fp32): a property of the weights.
    """

    def __init__(self, channels: int, gate: str = 'single') -> None:
        super().__init__()
        self.gating = DoubleGating() if gate == 'double' else Gating()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.sigma = ElementScale(channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.value = MultiOrderDWConv(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if implementation_for(z) is Implementation.REARRANGED:
            return self.rearranged(z)
        return self.formulas(z)

    def formulas(self, z: torch.Tensor) -> torch.Tensor:
        """The equations as the paper has them."""
        p = self.proj_1(z)
        u = F.silu(p + self.sigma(p - p.mean((2, 3), keepdim=True)))
        g, v = self.gate(u), self.value(self.value.DW_conv0(u))
        return plain_convs_of(self.gating, [g, v], self.proj_2)[0] + z

    def rearranged(self, z: torch.Tensor) -> torch.Tensor:
        """The same with the decomposition in the projection's weight and bias."""
        # P + s (P - mean P) = (W (1 + s)) Z + b - (W s) mean Z
        scale, weight = self.sigma.scale.view(-1, 1, 1, 1), self.proj_1.weight
        mean = F.conv2d(z.mean((2, 3), keepdim=True), weight * scale)
        p = F.conv2d(z, weight * (1 + scale), self.proj_1.bias) - mean
        g, u0 = convs_of(Silu(), [p], self.gate, self.value.DW_conv0)
        v = self.value(u0)
        return convs_of(self.gating, [g, v], self.proj_2)[0] + z


class MogaBlock(nn.Module):
    """X <- X + a * Moga(Norm(X));  X <- X + b * CA(Norm(X)) (figure 2 of the paper).

    Args:
        channels: C of input and output.
        ffn_ratio: hidden width of the FFN over C.
        gate, drop_rate: see the two branches.
        drop_path_rate: probability that a branch is dropped for a sample.
        layer_scale_init_value: start value of a and b, per channel.
        norm_cfg: see :func:`build_norm`.
    """

    def __init__(
        self,
        channels: int,
        ffn_ratio: float,
        gate: str,
        drop_rate: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
        norm_cfg: Mapping,
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.attn = MultiOrderGatedAggregation(channels, gate)
        self.norm2 = build_norm(norm_cfg, channels)
        self.mlp = ChannelAggregationFFN(channels, ffn_ratio, drop_rate)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        scale = torch.full((1, channels, 1, 1), float(layer_scale_init_value))
        self.layer_scale_1 = nn.Parameter(scale.clone())
        self.layer_scale_2 = nn.Parameter(scale.clone())

    compute: Compute | None = None
    """Computes :meth:`computed` instead, see :mod:`~moganet_dense.models.compiling`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.compute is None:
            return self.computed(x)
        return self.compute(self, x, self.kept(x), self.kept(x))

    def computed(
        self,
        x: torch.Tensor,
        kept_1: torch.Tensor | None = None,
        kept_2: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The formula, with what drop path drew for each branch; None: it is drawn here.

        With both given it reads nothing that differs among the blocks of a stage but tensors, so
        that torch.compile makes one function for all of them.
        """
        if implementation_for(x) is Implementation.KERNELS and block_served(self):
            if self.training and kept_1 is None and isinstance(self.drop_path, DropPath):
                kept_1, kept_2 = self.kept(x), self.kept(x)
            return compute_block(self, x, kept_1, kept_2)
        x = self.add(x, self.layer_scale_1, self.attn(self.norm1(x)), kept_1)
        return self.add(x, self.layer_scale_2, self.mlp(self.norm2(x)), kept_2)

    def kept(self, x: torch.Tensor) -> torch.Tensor:
        """What drop path draws, (B, 1, 1, 1): 0, or 1 over the share of samples that it keeps."""
        return self.drop_path(x.new_ones(len(x), 1, 1, 1))

    def add(
        self, x: torch.Tensor, scale: torch.Tensor, branch: torch.Tensor, kept: torch.Tensor | None
    ) -> torch.Tensor:
        """x + drop_path(scale * branch)."""
        dtype = torch.promote_types(x.dtype, scale.dtype)  # a branch may come in float32
        if implementation_for(x) is not Implementation.REARRANGED:
            branch = scale * branch
            branch = self.drop_path(branch) if kept is None else kept * branch
            return (x + branch).to(dtype)
        if self.training:  # the scale is dropped, which is smaller
            scale = scale * (self.kept(x) if kept is None else kept)
        return torch.addcmul(x, scale, branch).to(dtype)


class Stem(nn.Module):
    """First patch embed: two 3x3 convolutions of stride 2, (B, c, H, W) to a quarter."""

    def __init__(self, in_channels: int, channels: int, norm_cfg: Mapping) -> None:
        super().__init__()
        half = channels // 2
        self.projection = nn.Sequential(
            nn.Conv2d(in_channels, half, 3, stride=2, padding=1),
            build_norm(norm_cfg, half),
            nn.GELU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1),
            build_norm(norm_cfg, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection(x)


class PatchEmbed(nn.Module):
    """Later patch embeds: a 3x3 convolution of stride 2 and a norm, to half the size."""

    def __init__(self, in_channels: int, channels: int, norm_cfg: Mapping) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm = build_norm(norm_cfg, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.projection(x))
