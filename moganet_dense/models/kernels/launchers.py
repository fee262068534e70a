"""Tiles and grid of every kernel, chosen by rule from the shapes of its tensors, once for each.

Shapes are those of maps, (B, C, H, W). ``calls.py`` has the arguments.
"""

from functools import lru_cache

import torch

from . import depthwise as forward
from . import depthwise_backward as backward
from . import prepare as weights
from . import products
from . import rows as elementwise
from .choice import INTERPRETED
from .launching import (
    GRADIENT_COLUMNS,
    GRADIENT_COLUMNS_FP32,
    MULTIPROCESSORS,
    THREAD_CHANNELS,
    TILE_COLUMNS,
    Launcher,
    block_of,
    ceil_div,
    index_dtype,
    splits_of,
    tile_columns,
    tiles_at_once,
    vector_of,
)

Shape = torch.Size
once = lru_cache(maxsize=512)


def _columns(
    width: int, kernel: int, dilation: int, largest: dict[int, int], suffix: str = ''
) -> dict[str, int | bool]:
    """Constants of a kernel: columns of a tile, and whether these are all of a row.

    In a row of the image that every ``dilation``-th column makes. What is beside it is zero.
    """
    columns = tile_columns(width, kernel, dilation, largest)
    return {f'COLUMNS{suffix}': columns, f'WHOLE{suffix}': columns * dilation >= width}


def _groups(shape: Shape, kernel: int, dilation: int, tiles: int) -> int:
    """Groups of ``tiles`` tiles in an image."""
    height, width = shape[2:]
    columns = tile_columns(width, kernel, dilation, TILE_COLUMNS)
    across = ceil_div(ceil_div(width, dilation), columns)
    down = ceil_div(ceil_div(height, dilation), 2)
    return ceil_div(across * down * dilation * dilation, tiles)


def _convolution(shape: Shape, kernel: int, dilation: int) -> tuple[tuple[int, int, int], dict]:
    """Grid and constants that all kernels around one depth-wise convolution share."""
    batch, channels = shape[:2]
    block, vector = block_of(channels), min(vector_of(channels), THREAD_CHANNELS[kernel])
    for warps in (4, 2):  # fewer where an image has less than half of the tiles
        tiles = tiles_at_once(block, vector, warps)
        if _groups(shape, kernel, dilation, tiles // 2) > 1:
            break
    return (_groups(shape, kernel, dilation, tiles), ceil_div(channels, block), batch), dict(
        C=channels, KERNEL=kernel, DILATION=dilation, TILES=tiles, CHANNELS=block, VECTOR=vector,
        warps=warps, **_columns(shape[3], kernel, dilation, TILE_COLUMNS),
    )  # fmt: skip


@once
def depthwise(
    shape: Shape, kernel: int, dilation: int, has_bias: bool, gelu: bool, flipped: bool,
    summed: bool,
) -> Launcher:  # fmt: skip
    """Of :func:`.calls.depthwise`."""
    grid, constants = _convolution(shape, kernel, dilation)
    return Launcher(
        forward.depthwise_kernel, grid, shape[2:], **constants,
        HAS_BIAS=has_bias, GELU=gelu, FLIPPED=flipped, SUMMED=summed,
    )  # fmt: skip


def _segment_block(channels: int) -> int:
    """Channels of a program where the channels are split 1 : 3 : 4."""
    return block_of(channels // 8 * 4, 32)


@once
def context(shape: Shape, flipped: bool) -> Launcher:
    """Of :func:`.calls.context`."""
    batch, channels, height, width = shape
    block, vector = _segment_block(channels), min(vector_of(channels // 8), THREAD_CHANNELS[7])
    tiles = tiles_at_once(block, vector)
    groups_1, groups_2 = _groups(shape, 5, 2, tiles), _groups(shape, 7, 3, tiles)
    low, middle, high = channels // 8, 3 * channels // 8, channels // 2
    blocks = ceil_div(high, block) + ceil_div(middle, block) + 1
    return Launcher(
        forward.context_kernel, (max(groups_1, groups_2), blocks, batch),
        (height, width, groups_1, groups_2),
        C=channels, TILES=tiles, CHANNELS=block, VECTOR=vector, COPIED=vector_of(low),
        THREADS=tiles_at_once(1, 1), FLIPPED=flipped,
        **_columns(width, 5, 2, TILE_COLUMNS, '_1'), **_columns(width, 7, 3, TILE_COLUMNS, '_2'),
    )  # fmt: skip


def _shares(shape: Shape, kernel: int, block: int, blocks: int) -> int:
    """Shares of the pixels in a gradient by weights: all its programs run at once.

    With more, most of the time would go into adding up what the threads of a program have; with
    fewer, multiprocessors would wait.
    """
    if INTERPRETED:
        return 2
    pixels = tiles_at_once(block, THREAD_CHANNELS[kernel]) * 2 * GRADIENT_COLUMNS[kernel]
    resident = 2 if kernel == 7 else 3  # programs on a multiprocessor, by their registers
    return max(1, min(resident * MULTIPROCESSORS // blocks, ceil_div(_pixels(shape), pixels)))


@once
def gradient_shares(shape: Shape, kernel: int) -> int:
    """Shares of the pixels in the gradient by the weight of one convolution."""
    block = block_of(shape[1], 32)
    return _shares(shape, kernel, block, ceil_div(shape[1], block))


@once
def context_gradient_shares(shape: Shape) -> int:
    """Shares of the pixels in the gradient by the weights of the context."""
    channels, block = shape[1], _segment_block(shape[1])
    parts = (3 * channels // 8, channels // 2)
    return _shares(shape, 7, block, sum(ceil_div(part, block) for part in parts))


def _gradient_columns(dtype: torch.dtype) -> dict[int, int]:
    return GRADIENT_COLUMNS_FP32 if dtype == torch.float32 else GRADIENT_COLUMNS


@once
def weight_gradient(
    shape: Shape, dtype: torch.dtype, kernel: int, dilation: int, shares: int, row_length: int
) -> Launcher:
    """Of :func:`.calls.weight_gradient`."""
    batch, channels, height, width = shape
    block, vector = block_of(channels, 32), min(vector_of(channels), THREAD_CHANNELS[kernel])
    return Launcher(
        backward.weight_gradient_kernel, (shares, ceil_div(channels, block)),
        (height, width, batch, row_length),
        C=channels, KERNEL=kernel, DILATION=dilation, TILES=tiles_at_once(block, vector),
        CHANNELS=block, VECTOR=vector,
        **_columns(width, kernel, dilation, _gradient_columns(dtype)),
    )  # fmt: skip


@once
def context_weight_gradient(
    shape: Shape, dtype: torch.dtype, shares: int, row_length: int
) -> Launcher:
    """Of :func:`.calls.context_weight_gradient`."""
    batch, channels, height, width = shape
    block, vector = _segment_block(channels), min(vector_of(channels // 8), THREAD_CHANNELS[7])
    blocks = sum(ceil_div(part, block) for part in (3 * channels // 8, channels // 2))
    return Launcher(
        backward.context_weight_gradient_kernel, (shares, blocks),
        (height, width, batch, row_length),
        C=channels, TILES=tiles_at_once(block, vector), CHANNELS=block, VECTOR=vector,
        **_columns(width, 5, 2, _gradient_columns(dtype), '_1'),
        **_columns(width, 7, 3, _gradient_columns(dtype), '_2'),
    )  # fmt: skip


@once
def decomposed_backward(shape: Shape) -> Launcher:
    """Of :func:`.calls.decomposed_backward`."""
    grid, constants = _convolution(shape, 5, 1)
    return Launcher(backward.decomposed_backward_kernel, grid, shape[2:], **constants)


@once
def gelu_backward(shape: Shape) -> Launcher:
    """Of :func:`.calls.gelu_backward`."""
    grid, constants = _convolution(shape, 3, 1)
    return Launcher(backward.gelu_backward_kernel, grid, shape[2:], **constants)


def _pixels(shape: Shape) -> int:
    return shape[0] * shape[2] * shape[3]


def _row_tile(shape: Shape) -> dict:
    """Constants of an element-wise kernel: 8 numbers a thread."""
    block = block_of(shape[1])
    return dict(
        PIXELS=tiles_at_once(block, 8), CHANNELS=block, VECTOR=vector_of(shape[1]),
        INDEX=index_dtype(shape),
    )  # fmt: skip


def _row_grid(shape: Shape, tile: dict) -> tuple[int, int]:
    return ceil_div(_pixels(shape), tile['PIXELS']), ceil_div(shape[1], tile['CHANNELS'])


@once
def normalize(
    shape: Shape, training: bool, counted: bool, momentum: float, eps: float
) -> Launcher:  # fmt: skip
    """Of :func:`.calls.normalize`."""
    tile = _row_tile(shape)
    return Launcher(
        elementwise.normalize_kernel, _row_grid(shape, tile),
        (_pixels(shape), shape[1], momentum, eps), TRAINING=training, COUNTED=counted, **tile,
    )  # fmt: skip


@once
def branch_gradient(
    shape: Shape, width: int, shares: int, row_length: int, has_kept: bool, has_d: bool
) -> Launcher:
    """Of :func:`.calls.branch_gradient`."""
    channels, height, columns = shape[1:]
    pixels, block = _pixels(shape), max(16, 1 << (channels - 1).bit_length())
    return Launcher(
        elementwise.branch_gradient_kernel, (shares,),
        (pixels, height * columns, channels, row_length, width), HAS_KEPT=has_kept, HAS_D=has_d,
        PIXELS=256 if INTERPRETED else max(1, 2048 // block), CHANNELS=block,
        VECTOR=vector_of(channels), INDEX=index_dtype((pixels, width)),
        registers=128,  # the compiler of Triton 3.8 chooses 80 for capability 8.0, and spills
    )  # fmt: skip


@once
def gating_backward(shape: Shape, shares: int, row_length: int, double: bool) -> Launcher:
    """Of :func:`.calls.gating_backward`."""
    tile = _row_tile(shape)
    return Launcher(
        elementwise.gating_backward_kernel, (shares, ceil_div(shape[1], tile['CHANNELS'])),
        (_pixels(shape), shape[1], row_length), DOUBLE=double, **tile,
    )  # fmt: skip


@once
def centered_gradient(shape: Shape) -> Launcher:
    """Of :func:`.calls.centered_gradient`."""
    tile = _row_tile(shape)
    return Launcher(
        elementwise.centered_gradient_kernel, _row_grid(shape, tile),
        (_pixels(shape), shape[2] * shape[3], shape[1]), **tile,
    )  # fmt: skip


@once
def norm_backward(
    shape: Shape, has_shortcut: bool, has_kept: bool, training: bool
) -> tuple[Launcher, Launcher]:
    """Of the sums over shares of the pixels, the first of its grid, and of the gradient."""
    pixels, tile = _pixels(shape), _row_tile(shape)
    blocks = ceil_div(shape[1], tile['CHANNELS'])
    shares = splits_of(pixels, 32, blocks)
    constants = dict(HAS_SHORTCUT=has_shortcut, HAS_KEPT=has_kept, **tile)
    sizes = (pixels, shape[2] * shape[3], shape[1])
    # no more than fill the multiprocessors: each reads all shares
    programs = min(ceil_div(pixels, tile['PIXELS']), max(1, 4 * MULTIPROCESSORS // blocks))
    sums = Launcher(elementwise.norm_sums_kernel, (shares, blocks), sizes, **constants)
    gradient = Launcher(
        elementwise.norm_backward_kernel, (programs, blocks), (*sizes, shares),
        TRAINING=training, **constants,
    )  # fmt: skip
    return sums, gradient


def _product_tile(
    dtype: torch.dtype, tf32: bool, outputs: int, inputs: int, pixels: int, pairs: int = 1,
    largest: int = 128,
) -> dict:  # fmt: skip
    """Tile and precision of a product that reads a map of ``dtype``."""
    full = dtype == torch.float32 and not tf32
    tile = dict(
        PIXELS=64 if full or pixels <= 64 else largest,
        OUTPUTS=64 if outputs % 64 == 0 and not full else 32,
        INPUTS=64 if inputs % 64 == 0 and dtype != torch.float32 and pairs == 1 else 32,
        PRECISION='ieee' if full else 'tf32',
    )
    if INTERPRETED:
        tile.update(PIXELS=256, OUTPUTS=64, INPUTS=64, PRECISION='interpreted')
    tile.update(warps=4 if tile['PIXELS'] == 64 else 8, stages=3)
    return tile


@once
def projected(shape: Shape, dtype: torch.dtype, tf32: bool, keep_p: bool, folded: bool) -> Launcher:
    """Of :func:`.calls.projected`."""
    batch, channels, height, width = shape
    tile = _product_tile(dtype, tf32, channels, channels, height * width)
    blocks = ceil_div(height * width, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS'])
    return Launcher(
        products.projected_kernel, (*blocks, batch), (height * width, channels),
        HAS_P=keep_p, FOLDED=folded, VECTOR=vector_of(channels), INDEX=index_dtype(shape), **tile,
    )  # fmt: skip


@once
def gated(shape: Shape, dtype: torch.dtype, tf32: bool, double: bool, keep_gv: bool) -> Launcher:
    """Of :func:`.calls.gated`."""
    channels, pixels = shape[1], _pixels(shape)
    tile = _product_tile(dtype, tf32, channels, channels, pixels, pairs=2)
    grid = ceil_div(pixels, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS'])
    return Launcher(
        products.gated_kernel, grid, (pixels, channels), DOUBLE=double, HAS_GV=keep_gv,
        VECTOR=vector_of(channels), INDEX=index_dtype(shape), **tile,
    )  # fmt: skip


@once
def residual(
    shape: Shape, inner: int, dtype: torch.dtype, tf32: bool, has_norm: bool, has_kept: bool,
    has_scale: bool, has_excess: bool, has_d: bool, keeps_d: bool,
) -> Launcher:  # fmt: skip
    """Of :func:`.calls.residual`."""
    channels, height, width = shape[1:]
    pixels = _pixels(shape)
    # 64: its 130 to 160 registers a thread leave room for one program of 128 pixels, whose loads
    # and products would wait for each other
    tile = _product_tile(dtype, tf32, channels, inner, pixels, largest=64)
    grid = ceil_div(pixels, tile['PIXELS']), ceil_div(channels, tile['OUTPUTS'])
    return Launcher(
        products.residual_kernel, grid, (pixels, height * width, channels, inner),
        HAS_NORM=has_norm, HAS_KEPT=has_kept, HAS_SCALE=has_scale, HAS_EXCESS=has_excess,
        HAS_D=has_d, KEEPS_D=keeps_d, VECTOR=vector_of(channels),
        INDEX=index_dtype((pixels, max(inner, channels))), **tile,
    )  # fmt: skip


@once
def row_sums(rows: tuple[int, int, int], lengths: tuple[int, int, int]) -> Launcher:
    """Of :func:`.calls.row_sums`."""
    programs = sum(ceil_div(length, 32) for length in lengths)
    return Launcher(
        elementwise.row_sums_kernel, (programs,), (*rows, *lengths), ROWS=64, COLUMNS=32
    )


@once
def prepare(channels: int, hidden: int) -> Launcher:
    """Of :func:`.branches.prepared`."""
    size, middle, high = 1024, 3 * channels // 8, channels // 2
    total = 5 * ceil_div(channels * channels, size) + 3 * ceil_div(channels * hidden, size)
    total += ceil_div(hidden, size) + ceil_div(8 * hidden, size) + channels
    total += ceil_div(25 * channels, size)
    total += ceil_div(25 * middle, size) + ceil_div(49 * high, size) + ceil_div(9 * hidden, size)
    return Launcher(weights.prepare_kernel, (total,), (channels, hidden), SIZE=size)


@once
def scaled_weight_gradient(channels: int, inner: int, images: int, has_shift: bool) -> Launcher:
    """Of :func:`.branches.scaled_weight_gradient`."""
    return Launcher(
        weights.scaled_weight_gradient_kernel, (channels,), (inner, channels, images),
        HAS_SHIFT=has_shift, SIZE=256,
    )  # fmt: skip


@once
def decomposed_weight_gradient(channels: int, inner: int) -> Launcher:
    """Of the second launch of :func:`.branches.scaled_weight_gradient`."""
    grid = (ceil_div(inner, 64),)
    return Launcher(
        weights.decomposed_weight_gradient_kernel, grid, (channels, inner), ROWS=16, COLUMNS=64
    )
