"""Parameters and multiply-adds of a model, without data, weights or memory.

The model is moved to PyTorch's meta device, which has shapes and no data, and its forward
pass is counted there by PyTorch's counter (torch.utils.flop_counter): convolutions and matrix
products, and batch norms with one multiply-add per element. Biases, activations, pooling and
interpolation are not counted. Figures are multiply-adds, as FLOPs in publications.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn as nn
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from ..config.frame_size import frame_size
from ..config.reading import read_config
from ..utils.errors import UserError, one_line
from .build import build, outputs


@dataclass(frozen=True)
class Complexity:
    """Size of a model.

    Attributes:
        parameters: of the whole model, trainable or not, without buffers.
        flops: multiply-adds for one image, or for one clip of a model of videos.
        backbone_flops: multiply-adds of the convolutions and linear layers of the backbone, or of
            SimVP's translator, which has the MogaNet blocks.
        shape: height and width of that image or clip.
        frames: frames that the clip has; None: an image.
    """

    parameters: int
    flops: int
    backbone_flops: int
    shape: tuple[int, int]
    frames: int | None = None

    def content(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        return asdict(self)


def complexity(model: nn.Module, shape: tuple[int, int]) -> Complexity:
    """Parameters and multiply-adds of a model for one image, or one clip.

    Args:
        model: of any task. Its parameters need no gradients any more, and it is moved to the meta
            device, where it has no numbers; to the CPU, which computes, if it has deformable
            attention or convolutions.
        shape: height and width of the image or of the frames, in pixels.

    Raises:
        UserError: the model does not support this shape.
    """
    numbers = any(type(module).__name__ in _READ_NUMBERS for module in model.modules())
    # the counter hooks inputs that need gradients, as learnt queries do
    model = model.eval().requires_grad_(False).to('cpu' if numbers else 'meta')
    frames = getattr(model, 'in_frames', None)
    part = getattr(model, 'hid' if frames else 'backbone', None)
    if part is None or type(model).__name__ == 'PoseLifter':
        raise UserError(f'expected a model of images or videos, found {type(model).__name__}')
    size = (frames, model.channels, *shape) if frames else (_channels(part), *shape)
    inputs = torch.zeros(1, *size, device='cpu' if numbers else 'meta')
    with one_line(f'the model does not support an image of {shape[0]} x {shape[1]}'):
        flops, of_part = _count(model, part, inputs)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Complexity(parameters, flops, of_part, shape, frames)


def _channels(backbone: nn.Module) -> int:
    """Channels of its images: what its first convolution reads."""
    found = (module.in_channels for module in backbone.modules() if isinstance(module, nn.Conv2d))
    return next(found, 3)


_READ_NUMBERS = {'MultiScaleDeformableAttention', 'DeformConv2d', 'ModulatedDeformConv2d'}
"""Modules that compute with numbers of tensors, which have none on the meta device."""


def _of_a_norm(shape: Sequence[int], *_, **__) -> int:
    return 2 * math.prod(shape)


_NORMS = dict.fromkeys(
    [torch.ops.aten.native_batch_norm, torch.ops.aten._native_batch_norm_legit_no_training],
    _of_a_norm,
)


def _count(model: nn.Module, part: nn.Module, inputs: torch.Tensor) -> tuple[int, int]:
    """Multiply-adds of the model, and of a part of it without norms."""
    counter = FlopCounterMode(display=False, custom_mapping=_NORMS)
    of_part = 0

    def add(factor: int) -> None:
        nonlocal of_part
        counts = counter.flop_counts['Global']
        of_part += factor * sum(n for operator, n in counts.items() if operator not in _NORMS)

    hooks = (
        part.register_forward_pre_hook(lambda *_: add(-1)),
        part.register_forward_hook(lambda *_: add(1)),
    )
    with torch.no_grad(), counter:
        model(inputs) if inputs.dim() == 5 else outputs(model, inputs)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() // 2, of_part // 2  # it counts a multiply-add as two


def usual_shape(cfg: Config) -> tuple[int, int]:
    """Height and width in the published tables of the task of a config.

    Raises:
        UserError: a model of videos with an unsupported data set.
    """
    codec = cfg.get('codec') or {}
    if size := codec.get('input_size') or codec.get('image_size'):
        width, height = size[:2]
        return height, width
    if cfg.model.type == 'SimVP':
        return frame_size(cfg)
    return {'mmdet': (800, 1280), 'mmseg': (512, 2048)}.get(cfg.default_scope, (224, 224))


def count(config: str, shape: Sequence[int] | None = None) -> Complexity:
    """Parameters and multiply-adds of a config's model.

    Args:
        config: path of a config.
        shape: height and width, one number for a square; None: :func:`usual_shape`.

    Raises:
        UserError: see :func:`~moganet_dense.toolboxes.build.build` and :func:`complexity`; or an
            invalid shape.
    """
    cfg = read_config(config)
    if shape and (len(shape) > 2 or min(shape) < 32):
        found = ' '.join(map(str, shape))
        raise UserError(f'--shape: expected height and width, each at least 32, found {found}')
    return complexity(build(cfg), (shape[0], shape[-1]) if shape else usual_shape(cfg))


def describe(config: str, found: Complexity) -> str:
    """The figures as text."""
    counted = 'multiply-adds: convolutions, matrix products, norms'
    what, part = 'one image of', 'backbone'
    if found.frames:
        what, part = f'one clip of {found.frames} frames of', 'translator'
    return (
        f'{config}, {what} {found.shape[0]} x {found.shape[1]} (height x width)\n'
        f'parameters  {found.parameters / 1e6:.2f} M ({found.parameters})\n'
        f'FLOPs       {found.flops / 1e9:.2f} G {counted}\n'
        f'  {part:9} {found.backbone_flops / 1e9:.2f} G: only convolutions and linear layers'
    )
