"""MogaNet as a backbone that emits a pyramid of stage features.

Paper: Li et al., "MogaNet: Multi-order Gated Aggregation Network", ICLR 2024,
https://arxiv.org/abs/2211.03295. Published code and weights:
https://github.com/Westlake-AI/MogaNet (Apache-2.0). What differs from that code: an
unknown option is an error (there ``out_indices``, ``norm_eval`` and the norm options are
swallowed), ``frozen_stages``, ``norm_eval`` and ``norm_cfg`` act, and weights are loaded
strictly.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Any, cast

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from ..weights import loading  # names of them later: they may import this
from .blocks import MogaBlock, PatchEmbed, Stem, build_norm
from .checkpointing import checkpointed
from .cuda_graphs import GRAPHS, GraphCache
from .functional import bias_of
from .fuse import DeployedBlock, DeployError, deployed_patch_embed
from .mkldnn_prepack import pack_convs

_WIDE_FIRST = (8, 8, 4, 4)
ARCHITECTURES = {
    'xt': dict(embed_dims=(32, 64, 96, 192), depths=(3, 3, 10, 2), ffn_ratios=_WIDE_FIRST),
    't': dict(embed_dims=(32, 64, 128, 256), depths=(3, 3, 12, 2), ffn_ratios=_WIDE_FIRST),
    's': dict(embed_dims=(64, 128, 320, 512), depths=(2, 3, 12, 2), ffn_ratios=_WIDE_FIRST),
    'b': dict(embed_dims=(64, 160, 320, 512), depths=(4, 6, 22, 3), ffn_ratios=_WIDE_FIRST),
    'l': dict(embed_dims=(64, 160, 320, 640), depths=(4, 6, 44, 4), ffn_ratios=_WIDE_FIRST),
    'xl': dict(embed_dims=(96, 192, 480, 960), depths=(6, 6, 44, 4), ffn_ratios=_WIDE_FIRST),
}
"""Widths C1..C4, blocks per stage and FFN ratios of each published size."""

LONG_NAMES = {
    'x-tiny': 'xt', 'xtiny': 'xt', 'tiny': 't', 'small': 's', 'base': 'b',
    'large': 'l', 'x-large': 'xl', 'xlarge': 'xl',
}  # fmt: skip
GATES = ('single', 'double')
STAGES = 4
STRIDES = (4, 8, 16, 32)
_SUBSETS = [list(c) for n in range(1, STAGES + 1) for c in combinations(range(STAGES), n)]


def resolve_architecture(arch: str | dict) -> dict:
    """Entry of :data:`ARCHITECTURES` for a short or long name, or a checked dict.

    Args:
        arch: a name, or a dict with exactly embed_dims, depths and ffn_ratios, four
            values each; every width divisible by 8 (the 1 : 3 : 4 split of channels).

    Raises:
        ValueError: what is wrong, with what is valid.
    """
    if isinstance(arch, str):
        if (short := LONG_NAMES.get(arch, arch)) not in ARCHITECTURES:
            valid = ', '.join([*ARCHITECTURES, *LONG_NAMES])
            raise ValueError(f'arch: unknown {arch!r}; valid: {valid}, or a dict')
        return ARCHITECTURES[short]
    expected = {'embed_dims', 'depths', 'ffn_ratios'}
    if not isinstance(arch, dict) or set(arch) != expected:
        found = sorted(map(str, arch)) if isinstance(arch, dict) else repr(arch)
        raise ValueError(f'arch: expected a name or a dict of {sorted(expected)}, found {found}')
    for key, values in arch.items():
        kind = (int, float) if key == 'ffn_ratios' else int
        if (
            not isinstance(values, Sequence)
            or len(values) != STAGES
            or not all(isinstance(value, kind) and value > 0 for value in values)
        ):
            raise ValueError(f'arch: {key} needs {STAGES} positive numbers, found {values!r}')
    if any(width % 8 for width in arch['embed_dims']):
        raise ValueError(f'arch: embed_dims must be divisible by 8, found {arch["embed_dims"]}')
    return arch


def _rejects_unknown_options(init: Callable) -> Callable:
    """Makes a constructor's error about an unknown option list the valid ones."""
    valid = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        if unknown := sorted(set(options) - set(valid)):
            raise TypeError(f'{type(self).__name__}: unknown {unknown}; valid: {", ".join(valid)}')
        init(self, *args, **options)

    return checked


@MODELS.register_module()
class MogaNet(BaseModule):  # type: ignore[misc]
    """MogaNet backbone: an image to maps of stride 4, 8, 16 and 32.

    Args:
        arch: size: xt, t, s, b, l, xl, a long name of it, or a dict of embed_dims,
            depths, ffn_ratios (see :func:`resolve_architecture`).
        in_channels: channels of the input image.
        out_indices: stages whose maps are returned, increasing, from 0 to 3. Stages after
            the last of them are built, so that published files fit, but neither run nor
            trained.
        gate: 'single', or 'double' for weights of OpenMixup and mmpretrain: a property of
            the weights (see MultiOrderGatedAggregation). Known weights in ``init_cfg`` bring
            theirs along; a state dict notes it, and loading it into a backbone with the
            other gate is an error.
        drop_path_rate: stochastic depth, growing linearly from 0 to this over the blocks.
        drop_rate: dropout in the FFN.
        layer_scale_init_value: start value of both layer scales of each block.
        norm_cfg: every norm of the network: type BN, SyncBN or GN.
        frozen_stages: -1 nothing; 0 the stem; k the stem and stages 1..k with their norms.
            Frozen means without gradient and in eval mode, also after ``train()``.
        norm_eval: keep all batch norms in eval mode (statistics fixed) while training.
        with_cp: gradient checkpointing: keep only the input of each block for backward.
        init_cfg: ``dict(type='Pretrained', checkpoint=..., ema=False)`` loads published
            weights strictly when :meth:`init_weights` is called (see
            :class:`~moganet_dense.weights.loading.PretrainedWeights`); any other initialiser of
            mmengine is accepted too. None: the published initialisation.

    Attributes:
        channels: channels of each returned map.
        strides: stride of each returned map, in pixels of the input.
        deployed: whether it is fused (see :meth:`switch_to_deploy`).

    Raises:
        TypeError: an unknown option.
        ValueError: an option's value is not valid, or the weights that ``init_cfg`` names
            were trained with 'single' though ``gate`` is 'double'.

    Example:
        >>> net = MogaNet('tiny')
        >>> [tuple(f.shape) for f in net(torch.rand(1, 3, 64, 64))]
        [(1, 32, 16, 16), (1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2)]
    """

    is_init: bool  # mmengine's

    @_rejects_unknown_options
    def __init__(
        self,
        arch: str | dict = 'tiny',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        gate: str = 'single',
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        layer_scale_init_value: float = 1e-5,
        norm_cfg: Mapping = MappingProxyType(dict(type='BN')),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = resolve_architecture(arch)
        _check_options(in_channels, out_indices, gate, frozen_stages, drop_path_rate, drop_rate)
        self.pretrained = loading.PretrainedWeights.from_init_cfg(init_cfg)
        self.gate = gate = self.pretrained.gate_for(gate) if self.pretrained else gate
        self.out_indices = tuple(out_indices)
        self.channels = tuple(sizes['embed_dims'][i] for i in self.out_indices)
        self.strides = tuple(STRIDES[i] for i in self.out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.deployed = False
        self.graph_cache: GraphCache | None = None

        last = sum(sizes['depths']) - 1
        drop_paths = (drop_path_rate * block / last for block in range(last + 1))
        for i, width in enumerate(sizes['embed_dims']):
            patch_embed: nn.Module
            if i == 0:
                patch_embed = Stem(in_channels, width, norm_cfg)
            else:
                patch_embed = PatchEmbed(sizes['embed_dims'][i - 1], width, norm_cfg)
            blocks = nn.ModuleList(
                MogaBlock(
                    width,
                    sizes['ffn_ratios'][i],
                    gate,
                    drop_rate,
                    next(drop_paths),
                    layer_scale_init_value,
                    norm_cfg,
                )
                for _ in range(sizes['depths'][i])
            )
            self.add_module(f'patch_embed{i + 1}', patch_embed)
            self.add_module(f'blocks{i + 1}', blocks)
            self.add_module(f'norm{i + 1}', build_norm(norm_cfg, width))

        self.reset_parameters()
        self.train()

    def reset_parameters(self) -> None:
        """Published initialisation: convolutions normal, variance 2 / (k k out / groups)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                nn.init.zeros_(bias_of(module))

    def init_weights(self) -> None:
        """Loads the weights that ``init_cfg`` names; else initialises as mmengine does.

        Raises:
            WeightsError: see :meth:`~moganet_dense.weights.loading.PretrainedWeights.load_into`.
        """
        if self.pretrained is None or self.is_init:
            super().init_weights()
        else:
            self.pretrained.load_into(self)
            self.is_init = True

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, '_metadata'):
            destination._metadata.setdefault(prefix[:-1], {})['gate'] = self.gate

    def _load_from_state_dict(
        self, state_dict: Mapping, prefix: str, local_metadata: dict, *rest: Any
    ) -> None:
        loading.check_gate(local_metadata.get('gate'), self)
        if names := [key for key in state_dict if key.startswith(prefix)]:
            loading.check_form(names, self.deployed)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def stage(self, i: int) -> tuple[Stem | PatchEmbed, nn.ModuleList, nn.Module]:
        """Patch embed, blocks and final norm of stage ``i``, from 0 to 3."""
        return tuple(getattr(self, f'{part}{i + 1}') for part in ('patch_embed', 'blocks', 'norm'))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps of the stages in ``out_indices``.

        Args:
            x: images, (B, in_channels, H, W), normalised; H and W of any size.

        Returns:
            for each stage a map (B, C_i, h_i, w_i), with h and w halved and rounded up
            twice by the stem and once by each later stage.
        """
        if self.graph_cache is None:
            return self._maps(x)
        return self.graph_cache(self, self._maps, x)

    def _maps(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        checkpointing = self.with_cp and torch.is_grad_enabled() and not self.deployed
        maps = []
        for i in range(self.out_indices[-1] + 1):
            patch_embed, blocks, norm = self.stage(i)
            x = patch_embed(x)
            for block in blocks:
                x = checkpointed(block, x) if checkpointing else block(x)
            x = norm(x)  # the normed map is both the output and the next stage's input
            maps.append(x)
        return tuple(maps[i] for i in self.out_indices)

    def train(self, mode: bool = True) -> 'MogaNet':
        """Sets training mode, except for what is frozen (and all norms with ``norm_eval``).

        Raises:
            DeployError: training mode is requested of a fused backbone.
        """
        if self.deployed:
            if mode:
                raise DeployError(
                    'the backbone is fused, which cannot be trained; '
                    'build a new one and load weights that are not fused'
                )
            return super().train(False)
        super().train(mode)
        for module in self._fixed():
            module.eval().requires_grad_(False)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    @torch.no_grad()
    def switch_to_deploy(self) -> 'MogaNet':
        """Turns the backbone, in place, into the form that evaluates fastest; returns it.

        The same function, up to rounding: norms, layer scales and decompositions are folded
        into convolutions, and nothing is trained any more. Parameters have other names, so
        that weights fit a backbone of the same form only. A second call changes nothing.

        Raises:
            DeployError: in training mode, or a norm that is no batch norm; nothing is
                changed then.
        """
        if self.deployed:
            return self
        if self.training:
            raise DeployError('switch_to_deploy() is for evaluation; call eval() first')
        for name, module in [part for i in range(STAGES) for part in self._folded_stage(i)]:
            setattr(self, name, module)
        self.deployed = True
        self.eval().requires_grad_(False)
        return self

    def pack(self) -> 'MogaNet':
        """Stores the weights of a fused model in the layout that this CPU's kernels read.

        The same maps up to rounding, in less time and more memory, for inference on a CPU, in
        place; returns it. Parameters keep their names, but must not be changed by way of their
        ``.data`` any more. It is not for torch.compile.

        Raises:
            DeployError: the backbone is not fused.
        """
        if not self.deployed:
            raise DeployError('pack() takes the fused model; call switch_to_deploy() first')
        pack_convs(self)
        return self

    def use_cuda_graphs(self, size: int = GRAPHS) -> 'MogaNet':
        """Replays captured CUDA graphs at inference on a GPU, in place; returns it.

        The same maps in less time. The first image of a shape is computed as usual, and so is
        everything in training mode, where gradients are enabled, and on other devices. Weights
        may change, but not by way of their ``.data``. It is not for torch.compile.

        Args:
            size: shapes whose graphs are kept, see
                :class:`~moganet_dense.models.cuda_graphs.GraphCache`; 0 turns graphs off.
        """
        self.graph_cache = GraphCache(size) if size else None
        return self

    def _folded_stage(self, i: int) -> Iterator[tuple[str, nn.Module]]:
        """The fused parts of a stage by name; the last block includes the final norm."""
        patch_embed, blocks, norm = self.stage(i)
        norms = [None] * (len(blocks) - 1) + [norm]
        yield f'patch_embed{i + 1}', deployed_patch_embed(patch_embed)
        deployed = map(DeployedBlock, cast(Iterable[MogaBlock], blocks), norms)
        yield f'blocks{i + 1}', nn.ModuleList(deployed)
        yield f'norm{i + 1}', nn.Identity()

    def _fixed(self) -> Iterator[nn.Module]:
        """Modules that are not trained: the frozen ones, and stages that are not run."""
        if self.frozen_stages >= 0:
            yield self.patch_embed1
        for i in range(STAGES):
            if i < self.frozen_stages or i > self.out_indices[-1]:
                yield from self.stage(i)


def _check_options(
    in_channels: int,
    out_indices: Sequence[int],
    gate: str,
    frozen_stages: int,
    drop_path: float,
    drop: float,
) -> None:
    """Raises ValueError for a value that is not valid, listing what is."""
    if not isinstance(in_channels, int) or in_channels < 1:
        raise ValueError(f'in_channels: expected a whole number from 1, found {in_channels!r}')
    valid = tuple(range(STAGES))
    if not isinstance(out_indices, Sequence) or list(out_indices) not in _SUBSETS:
        raise ValueError(
            f'out_indices: expected some of {valid}, increasing, found {out_indices!r}'
        )
    if gate not in GATES:
        raise ValueError(f'gate: unknown {gate!r}; valid: {", ".join(GATES)}')
    if frozen_stages not in range(-1, STAGES + 1):
        raise ValueError(f'frozen_stages: expected -1 to {STAGES}, found {frozen_stages!r}')
    for name, rate in [('drop_path_rate', drop_path), ('drop_rate', drop)]:
        if not 0 <= rate < 1:
            raise ValueError(f'{name}: expected 0 <= rate < 1, found {rate!r}')
