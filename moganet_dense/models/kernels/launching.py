"""Tile shapes by rule, and the counting of launches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from .choice import INTERPRETED

LARGEST_INT32 = 2**31 - 1
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


def launch(
    kernel, grid: tuple[int, ...], *args,
    warps: int = 4, stages: int = 2, registers: int | None = None, **constants,
):  # fmt: skip
    """Runs a kernel of ours on a grid.

    Args:
        kernel: of Triton.
        grid: programs along each axis.
        *args: of the kernel.
        warps: of a program.
        stages: of the pipeline of loads in loops.
        registers: maximum of a thread; None: the compiler chooses.
        **constants: ``constexpr`` arguments of the kernel.
    """
    options = dict(num_warps=warps, num_stages=stages)
    if registers is not None:
        options['maxnreg'] = registers
    launches.note(kernel.fn.__name__)
    if launches.recorded is not None:
        launches.recorded.append(Launch(kernel, grid, args, constants, options))
        return
    kernel[grid](*args, **constants, **options)


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


OUT_DTYPE = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 8)
"""Whether torch.mm gives float32 for the product of two bfloat16."""


def column_sums(partial: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Sum over the tiles: one order, so that the result is the same in every run."""
    launches.note('sum')
    return partial.sum(dim)


def index_dtype(*tensors: torch.Tensor):
    """int32 while every element of the tensors can be counted in it."""
    import triton.language as tl

    wide = any(tensor.numel() > LARGEST_INT32 for tensor in tensors)
    return tl.int64 if wide else tl.int32


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


def tile_columns(width: int, kernel: int, dilation: int) -> int:
    """Columns of a tile, 4 to 8: those that cost least for a row of this width.

    A tile of n columns loads n + k - 1 values for each row of the kernel, at about five
    instructions each, and computes 2 n k products.
    """
    if INTERPRETED:
        return 3
    columns = ceil_div(width, dilation)

    def cost(n: int) -> int:
        return ceil_div(columns, n) * (5 * (n + kernel - 1) + 2 * n * kernel + 10)

    return min((8, 7, 5, 4), key=cost)


def tiles_at_once(block: int, vector: int, warps: int = 4) -> int:
    """Tiles of a program whose threads hold ``vector`` of its ``block`` channels."""
    return 512 if INTERPRETED else 32 * warps * vector // block


def splits_of(pixels: int, at_least: int) -> int:
    """Tiles of a sum over pixels: enough for all multiprocessors, none too small."""
    if INTERPRETED:
        return 2
    return max(1, min(2 * MULTIPROCESSORS, pixels // at_least))
