"""Backbones in all forms that the tools offer, and their peers."""

import copy
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn as nn

from moganet_dense.models import MogaNet
from moganet_dense.models.compiling import compile_blocks
from moganet_dense.models.kernels import reason_against, use_kernels

from .measure import Machine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tests'))
from golden import fill
from plain import plain_forward

LAYOUTS = {'NCHW': torch.contiguous_format, 'channels_last': torch.channels_last}
PEERS = {
    'ConvNeXt-T': 'convnext_tiny',
    'Swin-T': 'swin_tiny_patch4_window7_224',
    'ResNet-50': 'resnet50',
}
TINY = dict(embed_dims=[8, 16, 24, 32], depths=[1, 2, 1, 1], ffn_ratios=[2, 2, 2, 2])


class Plain(nn.Module):
    """A MogaNet computed by the paper's formulas."""

    def __init__(self, net: MogaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return plain_forward(self.net, x)


@functools.lru_cache
def _filled(arch: str, gate: str) -> MogaNet:
    return fill(MogaNet(TINY if arch == 'tiny_test' else arch, gate=gate))


def moganet(arch: str, gate: str = 'single') -> MogaNet:
    """A backbone with the weights of the golden numbers, which belong to their names."""
    return copy.deepcopy(_filled(arch, gate))


def require_kernels(x: torch.Tensor) -> None:
    """Sees that the kernels serve ``x``: else something else would be measured under their name.

    Raises:
        RuntimeError: they do not, with the reason.
    """
    if (reason := reason_against(x)) is not None:
        raise RuntimeError(f'the kernels do not serve: {reason}')


def peer(name: str, size: tuple[int, int]) -> nn.Module:
    """A backbone of timm that returns four maps."""
    import timm

    options = {}
    if name == 'Swin-T':  # its windows are laid out for one size
        options = dict(img_size=size)
    elif name == 'ResNet-50':  # five maps, the first of stride 2
        options = dict(out_indices=(1, 2, 3, 4))
    return timm.create_model(PEERS[name], pretrained=False, features_only=True, **options)


def build(form: str, arch: str, size: tuple[int, int], training: bool) -> nn.Module:
    """The backbone of a form such as 'plain', 'ours', 'deploy, kernels, graph' or 'Swin-T'."""
    name, *how = form.split(', ')
    if name in PEERS:
        return peer(name, size).train(training)
    net = moganet(arch).train(training)
    if name == 'plain':
        return Plain(net)
    if name == 'deploy':
        net.switch_to_deploy()
    if 'with_cp' in how:
        net.with_cp = True
    if 'graph' in how:
        net.use_cuda_graphs()
    return net


@contextmanager
def ready(
    form: str, shape: tuple[int, ...], machine: Machine, training: bool, arch: str = 's'
) -> Iterator[tuple[nn.Module, Callable[[], object]]]:
    """A backbone and what is timed: a forward pass without gradients, in bfloat16, or a training
    step in autocast to bfloat16 whose loss is the sum of the maps' mean squares.

    Args:
        form: 'plain', 'ours', 'deploy' or a peer's name; after commas 'channels_last', 'kernels'
            (which takes channels_last), 'graph', 'compiled', 'with_cp'.
        shape: of the images.
        machine: where.
        training: a step, not a forward pass.
        arch: of MogaNet.
    """
    how = form.split(', ')[1:]
    layout = LAYOUTS['channels_last' if {'channels_last', 'kernels'} & set(how) else 'NCHW']
    with use_kernels('kernels' in how):
        net = build(form, arch, shape[2:], training).to(machine.device, memory_format=layout)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(machine.device)
        x = x.contiguous(memory_format=layout)
        if 'kernels' in how:
            require_kernels(x)
        if 'compiled' in how:
            net = _compiled(net, training)
        yield net, _step(net, x, machine.device) if training else _infer(net.bfloat16(), x)


def _compiled(net: nn.Module, training: bool) -> nn.Module:
    if training and isinstance(net, MogaNet):
        if not compile_blocks(net):
            raise RuntimeError('the blocks cannot be compiled here; the warning says why')
        return net
    return torch.compile(net)


def _infer(net: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    x = x.bfloat16()

    def run() -> object:
        with torch.no_grad():
            return net(x)

    return run


def _step(net: nn.Module, x: torch.Tensor, device: str) -> Callable[[], object]:
    def run() -> None:
        net.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            maps = net(x)
        sum(each.float().square().mean() for each in maps).backward()

    return run


def measured(
    form: str, shape: tuple[int, ...], machine: Machine, training: bool, arch: str = 's'
) -> dict:
    """Median, quartiles, memory and launches of a form."""
    with ready(form, shape, machine, training, arch) as (net, run):
        if 'graph' in form.split(', '):
            _expect_graph(net, run, machine)
        found = machine.timed(run)
        found.update(mb=machine.peak_mb(run), launches=_or_none(machine.launches, run))
    return found


def _expect_graph(net: MogaNet, run: Callable[[], object], machine: Machine) -> None:
    """Makes the graph, and sees that there is one: else eager would be timed under its name."""
    run()
    run()
    if machine.device == 'cuda' and len(net.graph_cache) != 1:
        raise RuntimeError('no graph was captured; the warning says why')


def _or_none(count: Callable, run: Callable[[], object]) -> int | None:
    try:
        return count(run)
    except Exception:  # the profiler needs rights and libraries that a machine may lack
        return None
