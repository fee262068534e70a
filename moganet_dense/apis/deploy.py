"""Models in the form that evaluates fastest: folded, in another layout or precision, compiled."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn as nn
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import wrappers
from mmengine.config import Config
from mmengine.logging import print_log
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import UserError
from ..models import MogaNet
from ..weights import safetensors_file, zoo
from ..weights.families import (
    WeightsError,
    holds_average,
    is_deployed,
    model_state,
    recorded_gate,
)
from ..weights.for_mmengine import AVERAGE_TAKEN
from ..weights.loading import check_gate, load_strictly, locate, read_checkpoint
from ..writing import as_line, require_writable
from .config import read_config
from .flops import build, outputs

SAMPLE = (256, 192)  # height and width of the drawn image that both forms are compared on
TOLERANCE = 1e-4  # of the largest value of an output
DTYPES = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class Form:
    """In which form a model is evaluated.

    Attributes:
        deploy: folded, see :func:`switch`; on a CPU packed, see :meth:`MogaNet.pack`.
        dtype: a key of DTYPES; fp32 changes nothing.
        channels_last: images and maps lie in memory with their channels last.
        compiled: the backbone goes through torch.compile: a minute before the first image.
    """

    deploy: bool = False
    dtype: str = 'fp32'
    channels_last: bool = False
    compiled: bool = False

    def apply(self, model: nn.Module) -> None:
        """Brings a model with its weights into this form, in place.

        Raises:
            UserError: see :func:`switch`; or fp16 on a CPU.
        """
        if self.deploy:
            switch(model)
        if self.channels_last:
            to_channels_last(model)
        if dtype := DTYPES[self.dtype]:
            to_precision(model, dtype)
        if self.deploy and not self.compiled:
            model.backbone.pack()
        if self.compiled:
            model.backbone.forward = torch.compile(model.backbone.forward)


def deploy(config: str, checkpoint: str, out: str) -> Path:
    """Writes the deploy form of a model's checkpoint.

    Args:
        config: path of a config of any task, with MogaNet as its backbone.
        checkpoint: path, URL or name; it has to fit the model, key by key.
        out: file to write; ``tools/test.py --deploy`` evaluates it.

    Raises:
        UserError: a mistake that the user can mend; or both forms differ on a drawn image
            by more than TOLERANCE. Nothing is written then.
    """
    require_writable(Path(out))
    cfg = read_config(config)
    adopt_gate(cfg, checkpoint)
    model = build(cfg).eval()
    content = load(model, checkpoint)
    image = torch.randn(1, 3, *SAMPLE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = list(_tensors(outputs(model, image)))
        switch(model)
        error = _difference(list(_tensors(outputs(model, image))), before)
    if not error <= TOLERANCE:
        raise UserError(
            f'the deploy form differs from the model by {error:.1e} of the largest output, '
            f'expected at most {TOLERANCE:.0e}; nothing was written'
        )
    meta = dict(content.get('meta') or {}, deployed=True)
    _write(dict(meta=meta, state_dict=model.state_dict()), Path(out))
    print_log(f'Wrote {out}; its outputs differ by {error:.1e} of the largest', 'current')
    return Path(out)


def adopt_gate(cfg: Config, checkpoint: str, options: Sequence[str] = ()) -> None:
    """Published weights, known by their file name, bring the gate they were trained with; one
    among the ``key=value`` options of the command line wins."""
    known, backbone = zoo.find(checkpoint), cfg.model.get('backbone') or {}
    asked = any(option.startswith('model.backbone.gate=') for option in options)
    if known is None or asked or backbone.get('type') != MogaNet.__name__:
        return
    if backbone.get('gate', 'single') != known.gate:
        backbone.gate = known.gate
        print_log(f'{checkpoint} was trained with gate={known.gate!r}: taken over', 'current')


def load(model: nn.Module, checkpoint: str, deploy: bool = False) -> dict[str, Any]:
    """Loads a checkpoint strictly; returns what the file holds.

    Args:
        model: of any task.
        checkpoint: path, URL or name.
        deploy: a file in the deploy form is welcome too; the model is switched for it.

    Raises:
        UserError: it does not fit.
    """
    content = read_checkpoint(locate(checkpoint))
    state = model_state(content)
    if holds_average(content):
        print_log(AVERAGE_TAKEN.format(checkpoint), 'current')
    if deploy and is_deployed(state):
        switch(model)
    try:
        if isinstance(backbone := getattr(model, 'backbone', None), MogaNet):
            check_gate(recorded_gate(content), backbone)
        load_strictly(model, state)
    except WeightsError as error:
        raise UserError(f'{checkpoint}: {error}') from None
    print_log(f'Loaded all {len(state)} tensors of {checkpoint}', 'current')
    return content


def switch(model: nn.Module) -> None:
    """Folds norms into convolutions, in the backbone and around it; sets eval mode.

    Raises:
        UserError: the backbone is no MogaNet, or its norms cannot be folded.
    """
    if not isinstance(backbone := getattr(model, 'backbone', None), MogaNet):
        raise UserError(
            f'the deploy form is one of MogaNet, the backbone is {type(backbone).__name__}'
        )
    model.eval()
    backbone.switch_to_deploy()
    for module in model.modules():
        if isinstance(module, ConvModule):
            _fold_conv_module(module)
        elif type(module) is nn.Sequential:
            _fold_sequential(module)


def to_channels_last(model: nn.Module) -> None:
    """Lays weights, and the images that enter the backbone, out with channels last."""
    model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_channels_last)


def to_precision(model: nn.Module, dtype: torch.dtype) -> None:
    """Lets a model predict in half precision; what necks and heads return is float32.

    Boxes, scores and heat maps are thus decoded in float32.

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
    """Makes what necks and heads return float32, also where autocast is on.

    What follows, as losses, NMS and NumPy, does not take bfloat16.
    """
    for name, module in model.named_modules():
        if re.search(r'(neck|head)(\.\d+)?$', name):
            module.forward = MethodType(_in_float32, module)  # a copy of the model rebinds it


def _fold_conv_module(module: ConvModule) -> None:
    """Of mmcv's pair, the norm goes into the convolution if it comes right after."""
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
    plain = type(conv) in (nn.Conv2d, wrappers.Conv2d)  # a subclass may change its weight
    is_fixed = isinstance(norm, _BatchNorm) and norm.running_var is not None
    return (plain or transposed) and is_fixed


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Module:
    return fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))


def _channels_last(module: nn.Module, args: tuple) -> tuple:
    return tuple(x.contiguous(memory_format=torch.channels_last) for x in args)


def _in_float32(module: nn.Module, *args, **options) -> Any:
    found = type(module).forward(module, *args, **options)
    return _map(lambda x: x.float() if x.is_floating_point() else x, found)


def _map(change: Callable, value: Any) -> Any:
    """``value`` with ``change`` made to every tensor in its lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map(change, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_map(change, item) for item in value)
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    found = []
    _map(found.append, value)
    yield from found


def _difference(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Largest error of any output, as a part of its largest value."""
    pairs = zip(found, wanted, strict=True)
    return max((a - b).abs().max().item() / max(b.abs().max().item(), 1e-30) for a, b in pairs)


def noted(content: dict) -> dict[str, str]:
    """What the header of a safetensors file tells beside the tensors: texts only."""
    gate = recorded_gate(content)
    return dict(deployed='true', **(dict(gate=gate) if gate else {}))


def _write(content: dict, path: Path) -> None:
    """Saves a checkpoint, whole or not at all."""
    with as_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix='.part')
        try:
            with open(handle, 'wb') as file:
                if path.suffix == '.safetensors':
                    file.write(safetensors_file.packed(content['state_dict'], noted(content)))
                else:
                    torch.save(content, file)
            os.replace(draft, path)
        finally:
            Path(draft).unlink(missing_ok=True)
