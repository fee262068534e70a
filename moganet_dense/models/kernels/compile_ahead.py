"""Compiles the kernels of a backbone before they run, in several processes, without a GPU.

    python -m moganet_dense.models.kernels.compile_ahead [--arch s] [--capability 90]

Else each is compiled when it is launched first, one after another. Triton keeps what it compiled
in ~/.triton/cache, or the folder of the environment variable TRITON_CACHE_DIR, for the same
version of Triton.
"""

import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import torch
from torch import nn

from ..moganet import ARCHITECTURES, STRIDES, MogaNet
from .choice import require_triton

if __name__ == '__main__':
    require_triton()

from . import parts
from .block import compute_block
from .fused_form import compute_fused, taps_of
from .kernel_report import CAPABILITY, DTYPES, SIZE, signature
from .launch_report import without_gpu
from .launching import Launch, recorded_launches

SIZES = ((2, 800, 1280), (128, 224, 224), (2, 203, 157), (1, 480, 640))
"""Batch, height and width of images: tiles differ by size, and all sizes share few."""


@dataclass(frozen=True)
class Pointer:
    """What Triton asks of a tensor to compile for it."""

    dtype: torch.dtype
    address: int

    def data_ptr(self) -> int:
        """Only whether it is a multiple of 16 matters."""
        return self.address


def launches(arch: str, dtype: torch.dtype, size: tuple[int, int, int]) -> list[Launch]:
    """Every launch of training under autocast, of evaluation and of the fused form, in ``dtype``,
    and of single depth-wise convolutions. All tensors are on PyTorch's device for shapes."""
    with torch.device('meta'):
        net = MogaNet(arch)
        maps = [
            torch.empty(size[0], width, size[1] // stride, size[2] // stride).contiguous(
                memory_format=torch.channels_last
            )
            for width, stride in zip(ARCHITECTURES[arch]['embed_dims'], STRIDES, strict=True)
        ]
        factor = torch.empty(size[0], 1, 1, 1)
        with recorded_launches() as found:
            for i, x in enumerate(maps):
                _trained(net.stage(i)[1][0].train(), x, dtype, [(None, None), (factor, factor)])
            for x in maps[::2]:
                _convolved(x.to(dtype))
            net.eval()
            for i, x in enumerate(maps):
                _evaluated(net.stage(i)[1][0], x, dtype)
            fused = net.switch_to_deploy().to(dtype)
            with torch.no_grad():
                for i, x in enumerate(maps):
                    block = fused.stage(i)[1][0]
                    compute_fused(x.to(dtype), block, taps_of(block))
    return found


def _trained(block: nn.Module, x: torch.Tensor, dtype: torch.dtype, factors: list) -> None:
    for kept in factors:
        y = compute_block(block, x.detach().requires_grad_(), *kept, dtype=dtype)
        y.backward(torch.empty_like(y))


def _evaluated(block: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> None:
    with torch.no_grad():
        compute_block(block, x, None, None, dtype=dtype)


def _convolved(x: torch.Tensor) -> None:
    """What ``tools/benchmark.py gpu`` measures of each kind of convolution."""
    for kernel, dilation in ((3, 1), (5, 1), (5, 2), (7, 3)):
        taps = torch.empty(kernel * kernel, x.shape[1])
        parts.depthwise(x, taps, torch.empty(x.shape[1]), kernel, dilation)
        parts.depthwise_backward(x, x, taps, kernel, dilation)


def compile_launch(launch: Launch) -> None:
    """Compiles a kernel as its launch would, inside :func:`.launch_report.without_gpu`."""
    arguments = [
        Pointer(value.dtype, int(value.storage_offset()) * value.element_size())
        if isinstance(value, torch.Tensor)
        else value
        for value in launch.arguments
    ]
    launch.kernel.warmup(*arguments, grid=launch.grid, **launch.constants, **launch.options)


def all_launches(
    arch: str, dtypes: tuple[str, ...], sizes: tuple[tuple[int, int, int], ...] = SIZES
) -> list[Launch]:
    """One launch for each compiled kernel; those that take longest to compile come first."""
    found: dict[tuple[str, ...], Launch] = {}
    for dtype in dtypes:
        for size in sizes:
            for launch in launches(arch, DTYPES[dtype], size):
                key = (launch.kernel.fn.__name__, str(launch.options), str(signature(launch)))
                found.setdefault(key, launch)
    slow = ('context_weight_gradient_kernel', 'context_kernel', 'decomposed_backward_kernel')
    return sorted(found.values(), key=lambda launch: launch.kernel.fn.__name__ not in slow)


_work: list[Launch] = []  # of a process


def _begin(*what: Any) -> None:
    torch.set_num_threads(1)
    _work[:] = all_launches(*what)


def _compile(number: int, capability: int) -> None:
    with without_gpu(capability):
        compile_launch(_work[number])


def compile_all(
    arch: str, dtypes: tuple[str, ...], sizes: tuple[tuple[int, int, int], ...], capability: int,
    processes: int,
) -> int:  # fmt: skip
    """Compiles everything, with a bar of what is done; returns how many kernels there are."""
    count = len(all_launches(arch, dtypes, sizes))
    task = partial(_compile, capability=capability)
    context = multiprocessing.get_context('spawn')
    with (
        context.Pool(processes, _begin, (arch, dtypes, sizes)) as pool,
        click.progressbar(length=count, label='kernels', file=sys.stderr) as bar,
    ):
        for _ in pool.imap_unordered(task, range(count)):
            bar.update(1)
    return count


def capability_here() -> int:
    """Compute capability of the GPU of this machine, times ten; 90, that of an H100, without.

    Raises:
        click.ClickException: the GPU is too old for Triton.
    """
    if not torch.cuda.is_available():
        return 90
    major, minor = torch.cuda.get_device_capability()
    if major < 8:
        raise click.ClickException(
            f'the kernels need a GPU of compute capability 8.0 or later, and this one has '
            f'{major}.{minor}; --capability 90 compiles for an H100'
        )
    return 10 * major + minor


@click.command()
@click.option('--arch', default='s', type=click.Choice(list(ARCHITECTURES)), show_default=True)
@click.option(
    '--dtype', 'dtypes', multiple=True, default=('bfloat16',), type=click.Choice(list(DTYPES)),
    show_default=True, help='May be given several times.',
)  # fmt: skip
@click.option(
    '--size', 'sizes', multiple=True, default=SIZES, type=SIZE,
    help='Batch, height and width of images. May be given several times. Default: four sizes.',
)  # fmt: skip
@click.option(
    '--capability', type=CAPABILITY, help='90 is an H100, 80 an A100. Default: the GPU here.'
)
@click.option(
    '--processes', type=click.IntRange(min=1), help='Default: one for each core, at most 16.'
)
def main(
    arch: str, dtypes: tuple[str, ...], sizes: tuple[tuple[int, int, int], ...],
    capability: int | None, processes: int | None,
) -> None:  # fmt: skip
    """Compiles the kernels of a backbone into Triton's cache."""
    begun = time.monotonic()
    capability = capability or capability_here()
    processes = processes or min(16, os.cpu_count() or 1)
    count = compile_all(arch, dtypes, sizes, capability, processes)
    seconds = time.monotonic() - begun
    print(f'{count} kernels for capability {capability}, {processes} processes, {seconds:.0f} s')


if __name__ == '__main__':
    main()
