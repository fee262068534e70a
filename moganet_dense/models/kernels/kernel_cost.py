"""Estimated time of the kernels on an H100 or H200, from their machine code, without a GPU.

    python -m moganet_dense.models.kernels.kernel_cost [--arch s] [--form training]

This is an estimate, not a measurement. Every kernel of a block is compiled ahead of time and
disassembled. The instructions that its programs execute are counted: those in a loop as often as
the loop runs. What the units of a multiprocessor need for them at full rate, and the memory for
the bytes of all arguments, are lower bounds of the time; the estimate is the largest of them.
Latency, misses of the caches and conflicts of banks are not in it: a real kernel that is bound by
instructions reaches perhaps 0.6 to 0.8 of the rate.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import torch

from ..moganet import ARCHITECTURES
from .choice import require_triton

if __name__ == '__main__':
    require_triton()

from .kernel_report import (
    SIZE,
    SIZES,
    block_launches,
    build,
    fused_launches,
    resources,
    run_tool,
)
from .launching import MULTIPROCESSORS, Launch, ceil_div

CLOCK = 1.755e9
"""Cycles in a second of an H100 SXM or H200 under load."""

BANDWIDTH = 4.2e12
"""Bytes in a second that a copy moves on an H200, measured."""

L1_BYTES = 128
"""Bytes that the first level cache or shared memory delivers in a cycle."""

RATES = {
    'issue': 4.0, 'fp32': 4.0, 'int': 2.0, 'special': 0.5, 'l1': 1.0, 'matrix': 1.0,
}  # fmt: skip
"""Instructions of a warp that the units of a multiprocessor take in a cycle; of the first level
cache and of the matrix units in units of work, see :func:`work_of`."""

_LINE = re.compile(
    r'/\*(?P<at>[0-9a-f]{4,})\*/\s+(?P<guard>@!?U?P\w+\s+)?(?P<name>[A-Z][A-Z0-9_.]*)(?P<rest>.*)'
)
_LABEL = re.compile(r'^(\.L_x_\d+):')

UNITS = {
    'fp32': {'FFMA', 'FADD', 'FMUL', 'HFMA2', 'HADD2', 'HMUL2', 'IMAD'},
    'int': {
        'IADD3', 'VIADD', 'IABS', 'LEA', 'LOP3', 'SHF', 'PRMT', 'SEL', 'FSEL', 'ISETP', 'FSETP',
        'PLOP3', 'P2R', 'R2P', 'IMNMX', 'VIMNMX', 'FMNMX', 'F2FP', 'SGXT', 'MOV', 'BMSK', 'POPC',
        'CS2R',
    },
    'special': {'MUFU', 'F2I', 'I2F', 'F2F', 'I2FP', 'F2IP', 'FLO'},
    'l1': {'LDG', 'STG', 'LDS', 'STS', 'LDGSTS', 'LDSM', 'STSM', 'SHFL', 'LDL', 'STL', 'ATOMS'},
    'matrix': {'HMMA', 'HGMMA'},
}  # fmt: skip
"""Which instructions are of which unit; all of them take an issue slot."""


class Instruction(NamedTuple):
    """A line of machine code."""

    name: str
    guarded: bool
    target: int | None
    """Number of the instruction to which it branches."""


class Part(NamedTuple):
    """Programs of a launch that run the same part of the code, which ends in EXIT."""

    programs: float
    trips: tuple[float, ...] = ()
    """How often each loop of the part runs, in the order of the code, for one entry."""


class Cost(NamedTuple):
    """Estimate of a launch, in microseconds."""

    name: str
    stage: int
    programs: int
    resident: int
    """Warps of the kernel that a multiprocessor holds at once."""
    instructions: float
    """Of a warp of a program, on average."""
    units: dict[str, float]
    """By each unit, with the multiprocessors that have one program more than others."""
    memory: float
    """By the bytes of all arguments."""
    classes: Counter
    """Instructions of all warps, by name."""

    @property
    def time(self) -> float:
        return max(self.memory, *self.units.values())

    @property
    def bound(self) -> str:
        bounds = {**self.units, 'memory': self.memory}
        return max(bounds, key=lambda unit: bounds[unit])


def parse(sass: str) -> list[Instruction]:
    """Instructions of a kernel as nvdisasm or cuobjdump prints them, without the padding."""
    found: list[tuple[str, bool, str]] = []
    labels: dict[str, int] = {}
    for line in sass.splitlines():
        if label := _LABEL.match(line.strip()):
            labels[label[1]] = len(found)
        elif match := _LINE.search(line):
            found.append((match['name'], bool(match['guard']), match['rest']))
    code = []
    for name, guarded, rest in found:
        target = re.search(r'\.L_x_\d+', rest) if name.startswith('BRA') else None
        code.append(Instruction(name, guarded, labels[target[0]] if target else None))
    while code and (code[-1].name == 'NOP' or code[-1].target == len(code) - 1):
        code.pop()  # a branch to itself and NOPs fill the last cache line
    return code


def loops_of(code: list[Instruction]) -> list[tuple[int, int]]:
    """First and last instruction of every loop, in the order of the code."""
    return sorted(
        (line.target, at)
        for at, line in enumerate(code)
        if line.target is not None and line.target <= at
    )


def parts_of(code: list[Instruction], count: int) -> list[range]:
    """The code in ``count`` parts, each up to an EXIT without a guard.

    Where a kernel calls functions, these are the parts, up to a RET, and the few instructions that
    call them count with the first.

    Raises:
        ValueError: it has fewer.
    """
    kinds = [line.name.partition('.')[0] for line in code]
    last = 'RET' if 'RET' in kinds else 'EXIT'
    ends = [at + 1 for at, kind in enumerate(kinds) if kind == last and not code[at].guarded]
    if len(ends) < count:
        raise ValueError(
            f'expected {count} parts of code that end in {last}, and found {len(ends)}'
        )
    starts = [0, *ends][:count]
    return [range(*part) for part in zip(starts, [*ends[: count - 1], len(code)], strict=True)]


def executed(code: list[Instruction], parts: list[Part]) -> Counter:
    """Instructions by name that a warp of all programs executes.

    Raises:
        ValueError: the code has other loops than the parts say.
    """
    counts: Counter = Counter()
    for part, lines in zip(parts, parts_of(code, len(parts)), strict=True):
        loops = [loop for loop in loops_of(code) if loop[0] in lines]
        if len(loops) != len(part.trips):
            raise ValueError(f'expected {len(part.trips)} loops, and found {len(loops)}')
        for at in lines:
            times = part.programs
            for (first, last), trips in zip(loops, part.trips, strict=True):
                if first <= at <= last:
                    times *= trips
            counts[code[at].name] += times
    return counts


def unit_of(name: str) -> str | None:
    """The unit of a multiprocessor that computes an instruction; None: it takes a slot only."""
    kind = name.partition('.')[0]
    return next((unit for unit, names in UNITS.items() if kind in names), None)


def work_of(name: str) -> float:
    """Work of a warp's instruction in what its unit does in a cycle.

    Of the first level cache: 4, 8 or 16 bytes for each of 32 threads. Of the matrix units:
    2048 multiply-adds of 16 bit numbers, 64 x N x 16 for a warp group of four.
    """
    kind, _, rest = name.partition('.')
    if kind in ('LDG', 'STG', 'LDS', 'STS', 'LDGSTS', 'LDL', 'STL'):
        size = next((int(bits) // 8 for bits in ('128', '64') if bits in rest.split('.')), 4)
        return size * 32 / L1_BYTES
    if kind in ('LDSM', 'STSM'):
        return 4.0
    if kind == 'HMMA':
        return {'16816': 1.0, '1688': 0.5}.get(rest.partition('.')[0], 1.0)
    if kind == 'HGMMA' and (shape := re.match(r'(\d+)x(\d+)x(\d+)', rest)):
        rows, columns, inner = (int(part) for part in shape.groups())
        rate = 2048 if 'TF32' not in rest else 1024
        return rows * columns * inner / rate / 4
    return 1.0


def resident_programs(registers: int, shared: int, warps: int) -> int:
    """Programs that a multiprocessor of capability 9.0 holds at once."""
    of_registers = 65536 // (ceil_div(registers, 8) * 8 * 32 * warps)
    of_shared = 233472 // (shared + 1024)
    return max(1, min(32, 64 // warps, of_registers, of_shared))


def unit_times(counts: Counter, warps: int, programs: int) -> dict[str, float]:
    """Microseconds of each unit for the instructions of all programs at full rate.

    The multiprocessors that have one program more than the others decide.
    """
    work: Counter = Counter()
    for name, count in counts.items():
        work['issue'] += count
        if (unit := unit_of(name)) is not None:
            work[unit] += count * work_of(name)
    uneven = ceil_div(programs, MULTIPROCESSORS) * MULTIPROCESSORS / programs
    scale = warps * uneven / MULTIPROCESSORS / CLOCK * 1e6
    return {unit: work[unit] / rate * scale for unit, rate in RATES.items()}


def bytes_of(launch: Launch, sass: str) -> int:
    """Bytes of all tensors that the code has the address of, each counted once."""
    offsets = {int(found, 16) for found in re.findall(r'c\[0x0\]\[0x([0-9a-f]+)\]', sass)}
    wide = re.findall(r'(?:LDC|ULDC)\.(64|128) [^;]*c\[0x0\]\[0x([0-9a-f]+)\]', sass)
    for bits, found in wide:
        offsets |= {int(found, 16) + more for more in range(0, int(bits) // 8, 8)}
    seen: dict[int, int] = {}
    place = 0x210  # of the first argument, capability 9.0
    for value in launch.arguments:
        size = 8 if isinstance(value, torch.Tensor) else 4
        if size == 4 and value == 1 and isinstance(value, int):
            continue  # Triton takes it as a constant
        place = ceil_div(place, size) * size
        if size == 8 and place in offsets:
            seen[id(value)] = value.numel() * value.element_size()
        place += size
    return sum(seen.values())


def parts_for(launch: Launch) -> list[Part]:
    """The parts of a kernel of ours, the programs that run each, and the trips of its loops."""
    name = launch.kernel.fn.__name__
    values = dict(zip(launch.kernel.arg_names, launch.arguments, strict=False))
    values |= launch.constants
    programs, shares = math.prod(launch.grid), launch.grid[0]
    if name == 'context_kernel':
        return _context_parts(launch, values)
    if name in ('weight_gradient_kernel', 'context_weight_gradient_kernel'):
        return _weight_gradient_parts(launch, values)
    if name in ('depthwise_kernel', 'gelu_backward_kernel', 'decomposed_backward_kernel'):
        return [Part(programs, (kernel_rows(values, shares),))]
    if name in ('branch_gradient_kernel', 'gating_backward_kernel', 'norm_sums_kernel'):
        return [Part(programs, (values['pixels'] / values['PIXELS'] / shares,))]
    if name == 'norm_backward_kernel':
        trips = values['pixels'] / values['PIXELS'] / shares
        adding = ceil_div(values['shares'], 16)
        third = (adding / shares,) if values['HAS_SHORTCUT'] else ()  # of the first program
        return [Part(programs, (adding, *third, trips))]
    if name in ('projected_kernel', 'gated_kernel', 'residual_kernel'):
        inner = values['K'] if name == 'residual_kernel' else values['C']
        return [Part(programs, (ceil_div(inner, values['INPUTS']),))]
    if name == 'scaled_weight_gradient_kernel':
        trips = (ceil_div(values['K'], values['SIZE']),)
        if not values['HAS_SHIFT']:  # ptxas unrolls the loop over images by 4
            trips = (values['images'] // 4, values['images'] % 4, *trips)
        return [Part(programs, trips)]
    if name == 'decomposed_weight_gradient_kernel':
        return [Part(programs, (ceil_div(values['C'], values['ROWS']),))]
    if name == 'row_sums_kernel':  # a program runs one of three loops
        blocks = [ceil_div(values[f'length_{i}'], values['COLUMNS']) for i in (1, 2, 3)]
        trips = [ceil_div(values[f'rows_{i}'], values['ROWS']) for i in (1, 2, 3)]
        return [Part(programs, tuple(blocks[i] / programs * trips[i] for i in range(3)))]
    return [Part(programs)]


def kernel_rows(values: dict, groups: int) -> float:
    """Rows of a convolution's kernel for which a program loops, on average over its groups.

    All of them; with tiles of WHOLE rows those that meet the image.
    """
    kernel, dilation, tiles = values['KERNEL'], values['DILATION'], values['TILES']
    if not values['WHOLE']:
        return kernel
    total = 0
    for group in range(groups):
        first, last = group * tiles // dilation**2, (group * tiles + tiles - 1) // dilation**2
        end = ceil_div(values['H'], dilation) + kernel // 2 - 2 * first
        total += max(0, min(end, kernel) - max(kernel // 2 - 1 - 2 * last, 0))
    return total / groups


def _context_parts(launch: Launch, values: dict) -> list[Part]:
    """The 7x7, the 5x5, and the copy of the multi-order context."""
    groups, _, images = launch.grid
    channels, block = values['C'], values['CHANNELS']
    of_2, of_1 = (ceil_div(part, block) for part in (channels // 2, 3 * channels // 8))
    copied = values['H'] * values['W'] * (channels // 8 // values['COPIED'])

    def rows(kernel: int, dilation: int, number: int) -> float:
        own = dict(KERNEL=kernel, DILATION=dilation, WHOLE=values[f'WHOLE_{number}'])
        return kernel_rows(values | own, values[f'groups_{number}'])

    return [
        Part(of_2 * values['groups_2'] * images, (rows(7, 3, 2),)),
        Part(of_1 * values['groups_1'] * images, (rows(5, 2, 1),)),
        Part(groups * images, (copied / values['THREADS'] / groups,)),
    ]


def _weight_gradient_parts(launch: Launch, values: dict) -> list[Part]:
    """The 7x7 and the 5x5 of the context, or one convolution; rows that are left out count, too."""
    shares, blocks = launch.grid

    def trips(dilation: int, columns: int) -> tuple[float]:
        across = ceil_div(ceil_div(values['W'], dilation), columns)
        tiles = across * ceil_div(ceil_div(values['H'], dilation), 2) * dilation**2
        return (ceil_div(tiles * values['images'], values['TILES']) / shares,)

    if 'KERNEL' in values:
        return [Part(shares * blocks, trips(values['DILATION'], values['COLUMNS']))]
    of_2 = ceil_div(values['C'] // 2, values['CHANNELS'])
    return [
        Part(shares * of_2, trips(3, values['COLUMNS_2'])),
        Part(shares * (blocks - of_2), trips(2, values['COLUMNS_1'])),
    ]


def cost_of(stage: int, launch: Launch, folder: Path) -> Cost:
    """Compiles a launch for an H100, counts its instructions and estimates its time."""
    made, warps = build(launch, 90), launch.options['num_warps']
    sass = run_tool('nvdisasm', ['-c'], made.asm['cubin'], folder)
    parts, programs = parts_for(launch), math.prod(launch.grid)
    counts = executed(parse(sass), parts)
    registers = resources(made.asm['cubin'], folder)['REG']
    active = math.ceil(sum(part.programs for part in parts))
    return Cost(
        launch.kernel.fn.__name__.removesuffix('_kernel'), stage, programs,
        resident_programs(registers, made.metadata.shared, warps) * warps,
        counts.total() / active, unit_times(counts, warps, active),
        bytes_of(launch, sass) / BANDWIDTH * 1e6, counts,
    )  # fmt: skip


def block_costs(arch: str, size: tuple[int, int, int], form: str, folder: Path) -> Iterator[Cost]:
    """Costs of the launches of a block of every stage that can be estimated.

    Args:
        arch: size of the backbone.
        size: batch, height and width of the images.
        form: ``training``, forward and backward under autocast, or ``deploy``, the fused form.
        folder: for temporary files.
    """
    find = block_launches if form == 'training' else fused_launches
    for stage, launch in find(arch, torch.bfloat16, size):
        # prepare: many small parts, bound by their bytes, 0.6 to 22 MB of arch s: 0.2 to 5 us
        if launch.kernel.fn.__name__ != 'prepare_kernel':
            yield cost_of(stage, launch, folder)


@click.command()
@click.option('--arch', default='s', type=click.Choice(list(ARCHITECTURES)), show_default=True)
@click.option(
    '--form', default='training', type=click.Choice(['training', 'deploy']), show_default=True
)
@click.option('--size', type=SIZE, help='Batch, height and width, instead of two.')
def main(arch: str, form: str, size: tuple[int, int, int] | None) -> None:
    """Prints an estimate of every kernel's time on an H100, in microseconds."""
    import tempfile

    units = [*RATES, 'memory']
    head = ['kernel', 'stage', 'programs', 'warps held', 'instructions', *units, 'time', 'bound']
    for each in (size,) if size else SIZES:
        batch, height, width = each
        print(f'\n{batch} x 3 x {height} x {width}\n\n| {" | ".join(head)} |')
        print('|' + ' --- |' * len(head))
        with tempfile.TemporaryDirectory() as folder:
            for cost in block_costs(arch, each, form, Path(folder)):
                times = (f'{value:.1f}' for value in (*cost.units.values(), cost.memory, cost.time))
                row = (cost.name, cost.stage, cost.programs, cost.resident,
                       f'{cost.instructions:.0f}', *times, cost.bound)  # fmt: skip
                print('|', ' | '.join(map(str, row)), '|', flush=True)


if __name__ == '__main__':
    main()
