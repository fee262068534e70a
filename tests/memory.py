"""Peak memory of a training step of the backbone, counted without a GPU.

    python tests/memory.py

The step runs on tensors without data (PyTorch's FakeTensorMode), and what its tensors hold is added
up while they live. Workspaces of cuDNN and the state of an optimizer are not in it. Where an H200
was measured, the count comes close: the rearranged form takes 0.61 and 0.60 of the memory of the
formulas there (channels_last, 2x3x800x1280 and 128x3x224x224), and is counted at 0.59 and 0.58.
"""

import sys
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from plain import plain_forward
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from moganet_dense import MogaNet
from moganet_dense.models.kernels import choice, use_kernels
from moganet_dense.models.kernels.launching import Launcher

ROUNDED_TO = 512
"""PyTorch's allocator gives multiples of it."""
LAST = torch.channels_last


class LiveBytes(TorchDispatchMode):
    """Context that adds up the memory of tensors while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.sizes:
            size = -(-storage.nbytes() // ROUNDED_TO) * ROUNDED_TO
            self.sizes[storage._cdata] = size
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage._cdata)

    def _drop(self, key: int) -> None:
        self.now -= self.sizes.pop(key)

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        result = operator(*arguments, **(options or {}))
        for value in tree_flatten(result)[0]:
            if isinstance(value, torch.Tensor):
                self.add(value)
        return result


@contextmanager
def kernels_without_data():
    """Context in which the kernels are on, on the CPU, and launching them does nothing."""
    from moganet_dense.models.kernels import operators  # which imports Triton

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, 'INTERPRETED', True)
        patch.setattr(operators, 'has_eager', lambda x: True)  # so that all of it is seen
        patch.setattr(Launcher, '__call__', lambda *_: None)
        with use_kernels():
            yield


def in_channels_last(net: nn.Module) -> nn.Module:
    """The network with its weights in channels_last; tensors without data cannot be converted."""
    for module in net.modules():
        for name, value in list(module._parameters.items()):
            if value is not None and value.dim() == 4:
                last = value.detach().contiguous(memory_format=LAST)
                module._parameters[name] = nn.Parameter(last)
    return net


def peak_of(arch: str, shape: tuple[int, ...], forward: Callable | None = None) -> int:
    """Bytes at the peak of a step under autocast to bfloat16, in channels_last.

    Args:
        arch: size of the backbone.
        shape: of the images.
        forward: of the network and images; None: the network's own.
    """
    live = LiveBytes()
    with FakeTensorMode():
        net = in_channels_last(MogaNet(arch).train())
        for tensor in [*net.parameters(), *net.buffers()]:
            live.add(tensor)
        with live:
            x = torch.empty(shape).contiguous(memory_format=LAST)
            with torch.autocast('cpu', torch.bfloat16):
                maps = net(x) if forward is None else forward(net, x)
            sum(y.float().square().mean() for y in maps).backward()
    return live.peak


def main() -> None:
    for shape in ((2, 3, 800, 1280), (128, 3, 224, 224)):
        found = {'formulas': peak_of('s', shape, plain_forward), 'rearranged': peak_of('s', shape)}
        with kernels_without_data():
            found['kernels'] = peak_of('s', shape)
        for name, size in found.items():
            share = size / found['formulas']
            print(f'{"x".join(map(str, shape)):14} {name:10} {size / 1e9:6.2f} GB  {share:.2f}')


if __name__ == '__main__':
    main()
