"""Tile shapes by rule, the launching of kernels, and the counting of launches."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, reduce
from operator import attrgetter, or_
from typing import Any, NamedTuple, TypeVar

import torch
from mmengine.logging import print_log

from .choice import INTERPRETED, version_of

LARGEST_INT32 = 2**31 - 1
Result = TypeVar('Result')
_dtype, _address = attrgetter('dtype'), torch.Tensor.data_ptr
MULTIPROCESSORS = 132  # of an H100 or H200; on other GPUs the shapes are less suitable


class Launch(NamedTuple):
    """A recorded launch, to be compiled only; see ``kernel_report.py``."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple
    constants: dict[str, object]
    options: dict[str, int]


class Launches:
    """Notes what is launched: kernels of ours, and products and sums that our operators call."""

    def __init__(self) -> None:
        self.names: list[str] | None = None
        self.recorded: list[Launch] | None = None

    def note(self, name: str) -> None:
        if self.names is not None:
            self.names.append(name)


launches = Launches()


@contextmanager
def recorded_launches() -> Iterator[list[Launch]]:
    """Context that records every launch, in order, without running it."""
    before, launches.recorded = launches.recorded, []
    try:
        yield launches.recorded
    finally:
        launches.recorded = before


@contextmanager
def counted_launches() -> Iterator[list[str]]:
    """Context that records the names of all launches of our operators, in order."""
    before, launches.names = launches.names, []
    try:
        yield launches.names
    finally:
        launches.names = before


class Launcher:
    """A kernel on a grid, with its numbers and constants: call it with the kernel's tensors.

    Made once for each shape of the tensors (see ``calls.py``) and called often. Triton's own
    launch inspects every argument in Python, 25 to 40 us each time, and a training step has 500.
    Here a compiled kernel is looked up by what Triton specializes it for that can still change:
    the device, the dtypes, and which addresses are multiples of 16.

    Args:
        kernel: of Triton; its arguments are tensors, then numbers, then constants.
        grid: programs along each axis.
        numbers: arguments after the tensors.
        warps: of a program.
        stages: of the pipeline of loads in loops.
        registers: maximum of a thread; None: the compiler chooses.
        **constants: ``constexpr`` arguments of the kernel.
    """

    def __init__(
        self, kernel, grid: tuple[int, ...], numbers: tuple[int | float, ...], *,
        warps: int = 4, stages: int = 2, registers: int | None = None, **constants,
    ) -> None:  # fmt: skip
        self.kernel, self.grid, self.numbers = kernel, grid, numbers
        self.name, self.constants = kernel.fn.__name__, constants
        self.options = dict(num_warps=warps, num_stages=stages)
        if registers is not None:
            self.options['maxnreg'] = registers
        self._compiled: dict[tuple, Callable[[int, list[int]], None]] = {}

    def __call__(self, *tensors: torch.Tensor) -> None:
        launches.note(self.name)
        if launches.recorded is not None:
            arguments = (*tensors, *self.numbers)
            launch = Launch(self.kernel, self.grid, arguments, self.constants, self.options)
            launches.recorded.append(launch)
            return
        if INTERPRETED:
            self._launch(tensors)
            return
        device, addresses = tensors[0].get_device(), [*map(_address, tensors)]
        key = (device, *map(_dtype, tensors))
        if reduce(or_, addresses) % 16:  # rarely
            key += tuple(address % 16 == 0 for address in addresses)
        run = self._compiled.get(key)
        if run is None:
            self._compiled[key] = self._compile(tensors)
        else:
            run(device, addresses)  # Triton takes an address as it is, and inspects tensors

    def _launch(self, tensors: tuple[torch.Tensor, ...]):
        """By Triton, which compiles the kernel where necessary, and returns it."""
        launch = self.kernel[self.grid]
        return launch(*tensors, *self.numbers, **self.constants, **self.options)

    def _compile(self, tensors: tuple[torch.Tensor, ...]) -> Callable[[int, list[int]], None]:
        """Launches, and returns the compiled kernel as a function of the device and addresses."""
        begun = time.monotonic()
        compiled = self._launch(tensors)
        if time.monotonic() - begun > 1:
            _say_what_takes_long()
        names = self.kernel.arg_names[-len(self.constants) :]
        rest = (*self.numbers, *(self.constants[name] for name in names))
        return _on_grid(compiled, (*self.grid, 1, 1)[:3], rest)


def _on_grid(compiled, grid: tuple[int, ...], rest: tuple) -> Callable[[int, list[int]], None]:
    """A compiled kernel on a grid, with all arguments but addresses.

    Triton collects what it passes to the hooks of a profiler at every launch, at half of the cost
    of a launch; without hooks that is left out. Versions 3.6 to 3.8 have them in one place and
    launch by one function with the same arguments.
    """
    import triton
    from triton.runtime import driver

    by_triton = compiled[grid]
    if not (3, 6) <= version_of(triton) <= (3, 8):
        return lambda device, addresses: by_triton(*addresses, *rest)
    run, stream, hooks = compiled.run, driver.active.get_current_stream, triton.knobs.runtime
    what = (compiled.function, compiled.packed_metadata, None, None, None)  # metadata and hooks

    def launch(device: int, addresses: list[int]) -> None:
        if getattr(hooks.launch_enter_hook, 'calls', True) or getattr(
            hooks.launch_exit_hook, 'calls', True
        ):
            by_triton(*addresses, *rest)
        else:
            run(*grid, stream(device), *what, *addresses, *rest)

    return launch


@cache
def _say_what_takes_long() -> None:
    print_log(
        'Compiling the GPU kernels: two minutes, once for this GPU and version of Triton; '
        '`python -m moganet_dense.models.kernels.compile_ahead` does it on all cores',
        'current',
    )


def on_its_device(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function, run with the GPU of its first tensor as the current one.

    PyTorch's operations see to that themselves; Triton launches on the current GPU.
    """

    def on_device(first: torch.Tensor, *rest: Any) -> Result:
        if not first.is_cuda or first.get_device() == torch.cuda.current_device():
            return function(first, *rest)
        with torch.cuda.device(first.device):
            return function(first, *rest)

    return on_device


def product(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """``a @ b`` by cuBLAS, accumulated in float32, in ``dtype`` where it is given."""
    return _product(torch.mm, a, b, dtype)


def batched_product(
    a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """``a @ b`` of several pairs, in one launch."""
    return _product(torch.bmm, a, b, dtype)


def _product(operation, a, b, dtype) -> torch.Tensor:
    launches.note('product')
    if dtype is None or dtype == a.dtype:
        return operation(a, b)
    if not a.is_cuda:
        return operation(a.to(dtype), b.to(dtype))
    if OUT_DTYPE:
        return operation(a, b, out_dtype=dtype)
    launches.note('cast')
    return operation(a, b).to(dtype)


OUT_DTYPE = version_of(torch) >= (2, 8)
"""Whether torch.mm gives float32 for the product of two bfloat16."""


def column_sums(partial: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Sum over the tiles: one order, so that the result is the same in every run."""
    launches.note('sum')
    return partial.sum(dim)


def index_dtype(shape: tuple[int, ...]):
    """int32 while every element of a tensor can be counted in it."""
    import triton.language as tl

    return tl.int64 if math.prod(shape) > LARGEST_INT32 else tl.int32


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return (a + b - 1) // b


def vector_of(channels: int) -> int:
    """Channels that a thread holds of each pixel: 8, or what the width is divisible by."""
    return next(size for size in (8, 4, 2, 1) if channels % size == 0)


def block_of(channels: int, largest: int = 64) -> int:
    """Channels that a program holds: a power of two that wastes few lanes."""
    for block in (64, 32, 16):
        if block <= largest and channels % block == 0:
            return block
    return min(largest, 32)


THREAD_CHANNELS = {3: 4, 5: 2, 7: 2}
"""Channels that a thread holds, by kernel size: with more, its taps leave no registers for a tile
of outputs, and with fewer it loads less than 4 bytes at a time."""


TILE_COLUMNS = {3: 8, 5: 10, 7: 10}
GRADIENT_COLUMNS = {3: 7, 5: 7, 7: 6}
GRADIENT_COLUMNS_FP32 = {3: 7, 5: 4, 7: 3}
"""Columns of the largest tile, by kernel size, that registers have room for: of a convolution,
whose threads hold an accumulator for each output, and of a gradient by weights, for each tap."""


def tile_columns(width: int, kernel: int, dilation: int, largest: dict[int, int]) -> int:
    """Columns of a tile: of a few numbers the one that costs least for a row of this width.

    Few, and of wide maps always the largest, so that image sizes share compiled kernels. For each
    row of the kernel a tile of n columns loads n + k - 1 values, at about seven instructions each,
    and adds 4 n k products: of two rows and two channels.
    """
    columns, most = ceil_div(width, dilation), 3 if INTERPRETED else largest[kernel]
    if columns <= most or columns > 32:
        return min(columns, most)

    def cost(n: int) -> int:
        return ceil_div(columns, n) * (7 * (n + kernel - 1) + 4 * n * kernel + 20)

    return min((most, *(n for n in (9, 7, 5) if n < most)), key=cost)


def tiles_at_once(block: int, vector: int, warps: int = 4) -> int:
    """Tiles of a program whose threads hold ``vector`` of its ``block`` channels."""
    return 512 if INTERPRETED else 32 * warps * vector // block


def splits_of(pixels: int, at_least: int, blocks: int = 1) -> int:
    """Tiles of a sum over pixels: enough for all multiprocessors, none too small.

    ``blocks`` of channels are summed by other programs.
    """
    if INTERPRETED:
        return 2
    return max(1, min(2 * MULTIPROCESSORS // blocks, pixels // at_least))
