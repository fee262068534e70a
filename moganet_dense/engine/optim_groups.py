"""Optimizers with few parameter groups, fused on a GPU."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch.nn.modules.batchnorm import _BatchNorm

from ..models.moganet import MogaNet
from ..utils.errors import UserError
from .logged_scalars import log_norm_without_waiting

IMPLEMENTATION = ('fused', 'foreach')
"""Options of a group that select the implementation of a step, and depend on the device."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with one group for all parameters that have equal options.

    With ``paramwise_cfg`` mmengine creates one group per parameter: 600 for MogaNet-S in a
    detector, and a step launches kernels for each of them. Here every parameter has the same
    hyperparameters, in as few groups as possible. If all parameters are on CUDA and PyTorch has a
    fused optimizer, it is used, unless the config sets ``fused`` or ``foreach``. Norms of clipped
    gradients are read for the log alone. On a CPU steps are bitwise identical to mmengine's.

    A checkpoint from another device type is resumed with the implementation for this one.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The wrapped optimizer of the model's parameters."""
        if can_fuse(self.optimizer_cfg, model):
            self.optimizer_cfg = dict(self.optimizer_cfg, fused=True)
        wrapper = super().__call__(model)
        optimizer = wrapper.optimizer
        optimizer.param_groups = merged(optimizer.param_groups)
        if wrapper.clip_grad_kwargs:
            log_norm_without_waiting(wrapper)
        if hasattr(optimizer, 'register_load_state_dict_pre_hook'):
            optimizer.register_load_state_dict_pre_hook(_fitted)
        return wrapper


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneDecayConstructor(GroupedOptimWrapperConstructor):
    """Any recipe's options, and no weight decay for norms, layer scales and sigmas of MogaNet.

    The published detectors and segmentors decay none of these. mmengine's ``custom_keys`` cannot
    express this together with a rate for the backbone: only one of the keys that match a
    parameter applies.

    Args:
        optim_wrapper_cfg, paramwise_cfg: as for mmengine's default constructor.
    """

    def _validate_cfg(self) -> None:
        self.paramwise_cfg = dict(dict(custom_keys={}), **self.paramwise_cfg)
        super()._validate_cfg()

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: bool | None = None,
    ) -> None:
        """Adds the groups of a model's parameters, one for each."""
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the whole model, after its parts
            kept = {id(p) for net in module.modules() if isinstance(net, MogaNet)
                    for p in _undecayed(net)}  # fmt: skip
            for group in params:
                if any(id(parameter) in kept for parameter in group['params']):
                    group['weight_decay'] = 0.0


def _undecayed(net: MogaNet) -> Iterator[nn.Parameter]:
    """Parameters of norms, layer scales and sigmas."""
    for module in net.modules():
        if isinstance(module, (_BatchNorm, nn.GroupNorm)):
            yield from module.parameters()
    for name, parameter in net.named_parameters():
        if 'scale' in name:
            yield parameter


def merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merges parameter groups with equal options, in the order of their first parameters."""
    found: list[dict[str, Any]] = []
    for group in groups:
        same = next((each for each in found if _options(each) == _options(group)), None)
        if same is None:
            found.append(dict(group))
            continue
        same['params'] = [*same['params'], *group['params']]
        if 'param_names' in group:
            same['param_names'] = [*same['param_names'], *group['param_names']]
    return found


def can_fuse(optimizer_cfg: dict, model: nn.Module) -> bool:
    """Whether PyTorch has a fused implementation of the optimizer for the parameters of a model."""
    kind = optimizer_cfg['type']
    if isinstance(kind, str):
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    if any(option in optimizer_cfg for option in IMPLEMENTATION) or kind is None:
        return False
    if not (kind.__module__.startswith('torch.optim') and _takes(kind, 'fused')):
        return False
    if not hasattr(torch.optim.Optimizer, 'register_load_state_dict_pre_hook'):
        return False  # before PyTorch 2.2: a checkpoint could not be resumed on a CPU
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return bool(trained) and all(p.is_cuda and p.is_floating_point() for p in trained)


def _takes(kind: type, option: str) -> bool:
    return option in inspect.signature(kind).parameters


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in group.items() if k not in ('params', 'param_names')}


def _fitted(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A saved state with the implementation options of this optimizer.

    Raises:
        UserError: its parameters are grouped differently.
    """
    own, saved = optimizer.param_groups, state['param_groups']
    if [len(group['params']) for group in own] != [len(group['params']) for group in saved]:
        raise UserError(
            f'the checkpoint has its parameters in {len(saved)} groups, the optimizer in '
            f'{len(own)}; resume a training that began with one group per parameter with '
            '--cfg-options optim_wrapper.constructor=DefaultOptimWrapperConstructor'
        )
    how = [{k: group[k] for k in IMPLEMENTATION if k in group} for group in own]
    return dict(state, param_groups=[dict(s, **h) for s, h in zip(saved, how, strict=True)])
