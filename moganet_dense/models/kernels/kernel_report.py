"""Statistics of the compiled kernels, without a GPU: registers, spills, width of loads.

    python -m moganet_dense.models.kernels.kernel_report [--arch s] [--capability 90]

Every launch of a block's forward and backward pass, at the sizes of each stage, is compiled
ahead of time as at run time: with the same constants and the same divisibility of numbers and
addresses by 16.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import torch

from ..moganet import ARCHITECTURES, STAGES, STRIDES, MogaNet
from .choice import require_triton

if __name__ == '__main__':
    require_triton()

from . import operators  # noqa: F401  (registers torch.ops.moganet_dense)
from .block import compute_block
from .fused_form import compute_fused, taps_of
from .jit import UNSPECIALIZED
from .launching import Launch, recorded_launches

DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16, 'float32': torch.float32}
SIZES = ((2, 800, 1280), (128, 224, 224))
SIZE = (click.IntRange(min=1), click.IntRange(min=64), click.IntRange(min=64))
"""Type of an option: batch, height and width of images that fill the last stage."""
CAPABILITY = click.IntRange(min=80)
"""Type of an option: what Triton compiles for."""

_TYPES = {
    torch.float32: 'fp32', torch.float16: 'fp16', torch.bfloat16: 'bf16', torch.int64: 'i64',
}  # fmt: skip


class Compiled(NamedTuple):
    """A kernel, compiled."""

    name: str
    stage: int
    programs: int
    tile: str
    warps: int
    registers: int
    spilled: int
    """Bytes of the stack and of local memory."""
    shared: int
    loads: dict[int, int]
    """Loads from global memory by width in bytes: how many are in the code."""
    conversions: int
    """Changes of layout, which go through shared memory."""


def block_launches(
    arch: str, dtype: torch.dtype, size: tuple[int, int, int], amp: bool = True
) -> Iterator[tuple[int, Launch]]:
    """Launches of a training step of one block of every stage, with its number from 1.

    Args:
        arch: size of the backbone.
        dtype: what the maps are computed in.
        size: batch, height and width of the images.
        amp: whether weights and the sum of the branches are float32.
    """
    batch, height, width = size
    for i in range(STAGES):
        with torch.device('meta'):
            net = MogaNet(arch).train()
            shape = (batch, ARCHITECTURES[arch]['embed_dims'][i], height, width)
            x = torch.empty(*shape[:2], height // STRIDES[i], width // STRIDES[i])
        block = net.stage(i)[1][0]
        if not amp:
            block, x = block.to(dtype), x.to(dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        with recorded_launches() as found:
            y = compute_block(block, x, None, None, dtype=dtype)
            y.backward(torch.empty_like(y))
        for launch in found:
            yield i + 1, launch


def fused_launches(
    arch: str, dtype: torch.dtype, size: tuple[int, int, int]
) -> Iterator[tuple[int, Launch]]:
    """Launches of the fused form of one block of every stage, with its number from 1."""
    batch, height, width = size
    with torch.device('meta'):
        net = MogaNet(arch).eval()
    net = net.switch_to_deploy().to(dtype)
    for i in range(STAGES):
        channels = ARCHITECTURES[arch]['embed_dims'][i]
        shape = (batch, channels, height // STRIDES[i], width // STRIDES[i])
        x = torch.empty(shape, dtype=dtype, device='meta').contiguous(
            memory_format=torch.channels_last
        )
        block = net.stage(i)[1][0]
        with torch.no_grad(), recorded_launches() as found:
            compute_fused(x, block, taps_of(block))
        for launch in found:
            yield i + 1, launch


def build(launch: Launch, capability: int):
    """A launch, compiled by Triton for GPUs of a compute capability, as 90 for an H100."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(launch.kernel, *signature(launch))
    target = GPUTarget('cuda', capability, 32)
    return triton.compile(source, target=target, options=launch.options)


def run_tool(name: str, options: list[str], cubin: bytes, folder: Path) -> str:
    """What a program for binaries that Triton brings along prints about one."""
    import triton

    binary = folder / 'kernel.cubin'
    binary.write_bytes(cubin)
    tool = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin' / name
    command = [str(tool), *options, str(binary)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def resources(cubin: bytes, folder: Path) -> dict[str, int]:
    """Registers of a thread (REG) and bytes that it spills (STACK and LOCAL)."""
    used = run_tool('cuobjdump', ['--dump-resource-usage'], cubin, folder)
    return {key: int(value) for key, value in re.findall(r'(REG|STACK|LOCAL):(\d+)', used)}


def compile_launch(stage: int, launch: Launch, capability: int, folder: Path) -> Compiled:
    """Compiles a launch for GPUs of a compute capability and reads its statistics."""
    made = build(launch, capability)
    number = resources(made.asm['cubin'], folder)
    loads: dict[int, int] = {}
    for count, bits in re.findall(r'ld\.global\S*?(?:\.v(\d))?\.b(\d+)', made.asm['ptx']):
        loads[int(count or 1) * int(bits) // 8] = loads.get(int(count or 1) * int(bits) // 8, 0) + 1
    for size in re.findall(r'cp\.async\.c[ag]\.shared\.global.*?, 0x([0-9a-f]+)', made.asm['ptx']):
        loads[int(size, 16)] = loads.get(int(size, 16), 0) + 1
    tile = ' '.join(
        f'{key.lower()} {launch.constants[key]}'
        for key in ('KERNEL', 'COLUMNS', 'TILES', 'PIXELS', 'OUTPUTS', 'CHANNELS', 'INPUTS')
        if key in launch.constants
    )
    programs = torch.Size(launch.grid).numel()
    return Compiled(
        launch.kernel.fn.__name__.removesuffix('_kernel'), stage, programs, tile,
        launch.options['num_warps'], number['REG'], number['STACK'] + number['LOCAL'],
        made.metadata.shared, dict(sorted(loads.items())),
        made.asm['ttgir'].count('ttg.convert_layout'),
    )  # fmt: skip


def signature(launch: Launch) -> tuple[dict, dict, dict]:
    """Types, constants and known divisibility of a launch's arguments, as at run time."""
    names = launch.kernel.arg_names
    types, constants, known = {}, dict(launch.constants), {}
    for at, (name, value) in enumerate(zip(names, launch.arguments, strict=False)):
        if isinstance(value, torch.Tensor):
            types[name] = f'*{_TYPES[value.dtype]}'
            aligned = value.storage_offset() * value.element_size() % 16 == 0
        elif isinstance(value, float):
            types[name], aligned = 'fp32', False
        elif name in UNSPECIALIZED:
            types[name], aligned = 'i32', False
        elif value == 1:  # Triton takes it as a constant
            types[name], constants[name], aligned = 'constexpr', 1, False
        else:
            types[name], aligned = 'i32', value % 16 == 0
        if aligned:
            known[(at,)] = [['tt.divisibility', 16]]
    for name in launch.constants:
        types[name] = 'constexpr'
    return {name: types[name] for name in names}, constants, known


def compiled_launches(
    arch: str, dtype: torch.dtype, capability: int, folder: Path, sizes=SIZES, amp: bool = True
) -> Iterator[Compiled]:
    """Every kernel of a block's step, compiled once for each way in which it is specialized."""
    seen = set()
    for size in sizes:
        for stage, launch in block_launches(arch, dtype, size, amp):
            key = (launch.kernel.fn.__name__, str(launch.options), str(signature(launch)))
            if key not in seen:
                seen.add(key)
                yield compile_launch(stage, launch, capability, folder)


@click.command()
@click.option('--arch', default='s', type=click.Choice(list(ARCHITECTURES)), show_default=True)
@click.option('--dtype', default='bfloat16', type=click.Choice(list(DTYPES)), show_default=True)
@click.option(
    '--capability', default=90, type=CAPABILITY, show_default=True,
    help='90 is an H100, 80 an A100.',
)  # fmt: skip
@click.option('--size', type=SIZE, help='Batch, height and width, instead of two.')
def main(arch: str, dtype: str, capability: int, size: tuple[int, int, int] | None) -> None:
    """Compiles the kernels of a training step and prints what became of them."""
    import tempfile

    sizes = (size,) if size else SIZES
    print('|', ' | '.join(Compiled._fields), '|')
    print('|', ' | '.join('---' for _ in Compiled._fields), '|')
    with tempfile.TemporaryDirectory() as folder:
        for found in compiled_launches(arch, DTYPES[dtype], capability, Path(folder), sizes):
            loads = ', '.join(f'{count} of {width}' for width, count in found.loads.items())
            values = found._asdict() | dict(loads=loads)
            print('|', ' | '.join(map(str, values.values())), '|', flush=True)


if __name__ == '__main__':
    main()
