"""Models in the fastest form for inference: fused, channels last, half precision, compiled."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import MethodType
from typing import Any

import torch
import torch.nn as nn
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import wrappers
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models import MogaNet
from ..models.memory_format import channels_last_is_faster
from ..utils.errors import UserError

SMALL_IMAGES = ('mmpretrain', 'mmpose')
"""Toolboxes whose images have about 224 pixels, see
:func:`~moganet_dense.models.memory_format.channels_last_is_faster`."""
DTYPES = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class Form:
    """The form in which a model is evaluated.

    Attributes:
        deploy: fused, see :func:`switch`; on a CPU packed, see :meth:`MogaNet.pack`.
        dtype: a key of DTYPES; fp32: unchanged.
        channels_last: channels-last memory format; None: if it is faster, see
            :func:`~moganet_dense.models.memory_format.channels_last_is_faster`.
        compiled: compile the backbone with torch.compile: a minute before the first image.
        cuda_graphs: fused on a GPU the backbone replays captured graphs, see
            :meth:`MogaNet.use_cuda_graphs`; not if it is compiled.
    """

    deploy: bool = False
    dtype: str = 'fp32'
    channels_last: bool | None = False
    compiled: bool = False
    cuda_graphs: bool = False

    def apply(self, model: nn.Module, small_images: bool = False) -> None:
        """Converts a model with its weights to this form, in place.

        Args:
            model: on the device of the evaluation.
            small_images: see :func:`~moganet_dense.models.memory_format.channels_last_is_faster`.

        Raises:
            UserError: see :func:`switch`; fp16 on a CPU; or a form that the model does not have.
        """
        self._require_backbone(model)
        if self.deploy:
            switch(model)
        channels_last = self.channels_last
        if channels_last is None and isinstance(getattr(model, 'backbone', None), MogaNet):
            device = next(model.parameters()).device
            channels_last = channels_last_is_faster(device, False, self.deploy, small_images)
        if channels_last:
            to_channels_last(model)
        if dtype := DTYPES[self.dtype]:
            to_precision(model, dtype)
        if self.deploy and not self.compiled:
            model.backbone.pack()
            if self.cuda_graphs:
                model.backbone.use_cuda_graphs()
        if self.compiled:
            # Module.compile() needs torch 2.2; the upstream stack has 2.1.2
            model.backbone.forward = torch.compile(model.backbone.forward)

    def _require_backbone(self, model: nn.Module) -> None:
        options = {
            '--dtype': DTYPES[self.dtype],
            '--channels-last': self.channels_last,
            '--compile': self.compiled,
        }
        asked = [option for option, value in options.items() if value]
        if asked and getattr(model, 'backbone', None) is None:
            found = type(model).__name__
            raise UserError(f'{asked[0]} is for models with a backbone, not {found}; leave it out')


def require_moganet(model: nn.Module) -> MogaNet:
    """The backbone of a model.

    Raises:
        UserError: it is not a MogaNet.
    """
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, MogaNet):
        raise UserError(f'only MogaNet can be fused, the backbone is {type(backbone).__name__}')
    return backbone


def switch(model: nn.Module) -> None:
    """Fuses norms into convolutions, in the backbone, neck and heads; sets eval mode.

    Raises:
        UserError: the backbone is not a MogaNet, or its norms cannot be fused.
    """
    backbone = require_moganet(model)
    model.eval()
    backbone.switch_to_deploy()
    for module in model.modules():
        if isinstance(module, ConvModule):
            _fold_conv_module(module)
        elif type(module) is nn.Sequential:
            _fold_sequential(module)


def to_channels_last(model: nn.Module, weights: bool = True) -> None:
    """Converts the model's weights and the backbone's inputs to the channels-last memory format.

    Args:
        model: of a toolbox, with a ``backbone``.
        weights: False leaves the weights as they are.
    """
    if weights:
        model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_channels_last)


def to_precision(model: nn.Module, dtype: torch.dtype) -> None:
    """Makes a model predict in half precision; necks and heads return float32.

    So boxes, scores and heatmaps are decoded in float32.

    Raises:
        UserError: float16 on a CPU.
    """
    device = next(model.parameters()).device.type
    if device == 'cpu' and dtype == torch.float16:
        raise UserError('--dtype fp16 needs a GPU; on a CPU use bf16')
    return_float32(model)
    model.backbone.to(dtype)
    model.forward = torch.autocast(device, dtype)(model.forward)


def return_float32(model: nn.Module) -> None:
    """Makes necks and heads return float32, also under autocast.

    Losses, NMS and NumPy do not support bfloat16. Their ``forward`` is replaced, since the heads of
    mmseg and mmpose call it directly, which skips forward hooks.
    """
    for name, module in model.named_modules():
        if re.search(r'(neck|head)(\.\d+)?$', name):
            module.forward = MethodType(_in_float32, module)  # a copy of the model rebinds it


def _fold_conv_module(module: ConvModule) -> None:
    """Fuses the norm of mmcv's ConvModule into its convolution if it follows directly."""
    if (
        module.with_norm
        and module.order[:2] == ('conv', 'norm')
        and _is_pair(module.conv, module.norm)
    ):
        module.conv = _fused(module.conv, module.norm)
        setattr(module, module.norm_name, nn.Identity())


def _fold_sequential(module: nn.Sequential) -> None:
    for i, (conv, norm) in enumerate(pairwise(module)):
        if _is_pair(conv, norm):
            module[i], module[i + 1] = _fused(conv, norm), nn.Identity()


def _is_pair(conv: nn.Module, norm: nn.Module) -> bool:
    transposed = type(conv) in (nn.ConvTranspose2d, wrappers.ConvTranspose2d) and conv.groups == 1
    plain = type(conv) in (nn.Conv2d, wrappers.Conv2d)  # a subclass may transform its weight
    is_fixed = isinstance(norm, _BatchNorm) and norm.running_var is not None
    return (plain or transposed) and is_fixed


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Module:
    return fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))


def _channels_last(module: nn.Module, args: tuple) -> tuple:
    """Maps, (B, C, H, W), in channels last; other arguments, such as (B, C, T), as they are."""
    return tuple(
        x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in args
    )


def _in_float32(module: nn.Module, *args, **options) -> Any:
    found = type(module).forward(module, *args, **options)
    return map_tensors(lambda x: x.float() if x.is_floating_point() else x, found)


def map_tensors(change: Callable, value: Any) -> Any:
    """Applies ``change`` to every tensor in the lists, tuples and dicts of ``value``."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(change, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(change, item) for item in value)
    return value
