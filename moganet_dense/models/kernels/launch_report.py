"""CPU time of launching the kernels of a training step, without a GPU.

    python -m moganet_dense.models.kernels.launch_report [--arch s]

A GPU waits where the CPU takes longer to launch kernels than the GPU to run them. Here everything
that the CPU does for a step runs as with a GPU, up to Triton's launcher, which launches nothing.
Products and sums, which the CPU computes here, are small; their part is printed, too. With a GPU
they are launched instead, and the call of the CUDA driver, 2 to 4 us a launch, comes on top.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..moganet import ARCHITECTURES, STAGES, MogaNet
from .choice import require_triton, version_of

if __name__ == '__main__':
    require_triton()

from .block import compute_block
from .launching import counted_launches

Tensor = torch.Tensor


class Driver:
    """What Triton asks of a driver: one GPU of a compute capability, which runs nothing.

    ``launched`` notes the arguments of every launch: grid, stream, function, and the kernel's own.
    A function is the hash of its machine code.
    """

    def __init__(self, capability: int = 90) -> None:
        self.capability, self.utils = capability, self
        self.launched: list[tuple] | None = None

    def get_current_device(self) -> int:
        """Number of the GPU."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """Address of the stream."""
        return 0

    def get_current_target(self) -> Any:
        """What kernels are compiled for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget('cuda', self.capability, 32)

    def get_device_properties(self, device: int) -> dict[str, int]:
        """Of an H100."""
        return dict(max_shared_mem=227 * 1024, multiprocessor_count=132, warpSize=32)

    def load_binary(self, name: str, binary: bytes, shared: int, device: int) -> tuple[int, ...]:
        """Module, function, registers, spills and, since Triton 3.4, threads."""
        import triton

        return (1, hash(binary), 128, 0, 1024)[: 5 if version_of(triton) >= (3, 4) else 4]

    def unload_module(self, module: int) -> None:
        """Nothing was loaded."""

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        """A function that launches a kernel."""

        def launch(*arguments: Any) -> None:
            if self.launched is not None:  # as the CUDA driver gets them: addresses for tensors
                self.launched.append(tuple(
                    value.data_ptr() if isinstance(value, Tensor) else value
                    for value in (*arguments[:5], *arguments[9:])
                ))  # fmt: skip

        return launch


@contextmanager
def without_gpu(capability: int = 90) -> Iterator[Driver]:
    """Context in which Triton compiles and launches for a GPU that is not there.

    Where there is none at all, the driver stays: kernels ask for it when they are freed.
    """
    from triton.runtime import driver

    name = '_active' if '_active' in vars(driver) else 'active'  # until Triton 3.4
    before, made = getattr(driver, name), Driver(capability)
    driver.set_active(made)
    try:
        yield made
    finally:
        if isinstance(before, Driver) or torch.cuda.is_available():
            setattr(driver, name, before)


class Step:
    """Forward and backward pass of all blocks of an architecture, narrow, under bfloat16."""

    def __init__(self, arch: str) -> None:
        sizes = dict(ARCHITECTURES[arch], embed_dims=(8, 16, 24, 32), ffn_ratios=(2, 2, 2, 2))
        net = MogaNet(sizes).train().to(memory_format=torch.channels_last)
        self.stages = [list(net.stage(i)[1]) for i in range(STAGES)]
        self.parameters = list(net.parameters())
        self.maps = [
            torch.randn(2, width, 4, 4).contiguous(memory_format=torch.channels_last)
            for width in (8, 16, 24, 32)
        ]
        self.kept = torch.ones(2, 1, 1, 1)

    def forward(self) -> list[Tensor]:
        """The maps of the stages, each of which starts from its own input."""
        results = []
        for blocks, x in zip(self.stages, self.maps, strict=True):
            x = x.requires_grad_()
            for block in blocks:
                x = compute_block(block, x, self.kept, self.kept, dtype=torch.bfloat16)
            results.append(x)
        return results

    def time(self) -> tuple[float, float]:
        """CPU time of the forward and the backward pass, s."""
        begun = time.thread_time()
        maps = self.forward()
        forward = time.thread_time()
        torch.autograd.backward(maps, maps)
        done = time.thread_time()
        for tensor in (*self.parameters, *self.maps):
            tensor.grad = None
        return forward - begun, done - forward


class Computed(TorchDispatchMode):
    """Context that measures the CPU time of products, sums and statistics, s."""

    NAMES = ('addmm', 'bmm', 'mean', 'mm', 'sum', 'var_mean', '_to_copy')

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        begun = time.thread_time()
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in self.NAMES:
            self.seconds += time.thread_time() - begun
        return result


@click.command()
@click.option('--arch', default='s', type=click.Choice(list(ARCHITECTURES)), show_default=True)
@click.option(
    '--steps',
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help='The fastest of them is printed.',
)
def main(arch: str, steps: int) -> None:
    """Measures the CPU time of launching a training step of all blocks."""
    torch.set_num_threads(1)
    step = Step(arch)
    blocks = sum(map(len, step.stages))
    with without_gpu() as driver:
        step.time()  # compiles
        driver.launched = []
        with counted_launches() as names:
            step.time()
        launches, driver.launched = len(driver.launched), None
        forward, backward = map(min, zip(*(step.time() for _ in range(steps)), strict=True))
        computed = min(_computed(step) for _ in range(steps))
    print(f'{blocks} blocks, {launches} launches of our kernels and {len(names) - launches} others')
    print(
        f'forward {1e3 * forward:.1f} ms, backward {1e3 * backward:.1f} ms of the CPU; '
        f'{1e3 * computed:.1f} of them are products and sums, which a GPU would compute'
    )


def _computed(step: Step) -> float:
    with Computed() as found:
        step.time()
    return found.seconds


if __name__ == '__main__':
    main()
