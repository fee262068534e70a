"""Mixed precision on GPUs and CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from ..utils.errors import UserError

_SCALING = ('loss_scale', 'dtype', 'use_fsdp')
"""Options of mmengine's AmpOptimWrapper, which bfloat16 does not need."""


@OPTIM_WRAPPERS.register_module(name=['Bfloat16OptimWrapper', 'CpuAmpOptimWrapper'])
class Bfloat16OptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, on a GPU or CPU.

    bfloat16 has the range of float32: the loss needs no scaling, and gradients are not
    checked for infinity after every step, as mmengine's AmpOptimWrapper does. Necks and heads
    return float32, since operators of mmcv do not support bfloat16. Its second name is used in work
    dirs of earlier versions.
    """

    def initialize_count_status(self, model: nn.Module, *counts: int) -> None:
        """Also makes necks and heads return float32."""
        from ..toolboxes.model_form import return_float32  # which imports mmcv

        return_float32(model)
        super().initialize_count_status(model, *counts)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield

    def load_state_dict(self, state_dict: dict) -> None:
        """As mmengine's; ignores the loss scale of a float16 training."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != 'loss_scaler'})


def enable_amp(optim_wrapper: ConfigDict, precision: str) -> None:
    """Sets mixed precision in the config of an optimizer wrapper, in place.

    Args:
        optim_wrapper: config of a wrapper.
        precision: 'bf16', 'fp16' or 'auto': bf16 if the device supports it.

    Raises:
        UserError: fp16 without a GPU.
    """
    on_gpu = get_device() != 'cpu'
    if precision == 'fp16' and not on_gpu:
        raise UserError('--amp fp16 needs a GPU; on a CPU use --amp, which is bf16')
    if precision == 'auto':
        precision = 'fp16' if on_gpu and not has_bfloat16() else 'bf16'
    for option in _SCALING:
        optim_wrapper.pop(option, None)
    if precision == 'fp16':
        optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
    else:
        optim_wrapper.update(type='Bfloat16OptimWrapper')


def has_bfloat16() -> bool:
    """Whether the GPU supports bfloat16 in hardware; PyTorch emulates it slowly on older ones.

    NVIDIA GPUs do since compute capability 8.0 (A100); for other vendors PyTorch decides.
    """
    if get_device() != 'cuda' or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability() >= (8, 0)
