"""Control flow and operands: all threads of some programs, as arrays."""

import re
from dataclasses import dataclass, field

import numpy as np

from . import arithmetic, exchange, matrices
from .arithmetic import DTYPES, Mask
from .memory import Fault, Global, Shared
from .reading import JUMPS, Function, Instruction, Module

WARP = 32
DONE = 1 << 30
OPERATIONS = arithmetic.OPERATIONS | exchange.OPERATIONS | matrices.OPERATIONS


@dataclass
class Frame:
    """A call of a function."""

    function: Function
    parameters: dict[str, np.ndarray]
    registers: dict[str, np.ndarray] = field(default_factory=dict)
    outgoing: dict[str, np.ndarray] = field(default_factory=dict)
    """Parameters of the function that is called next."""


class Machine:
    """Programs of a grid.

    Args:
        module: the kernel.
        memory: global memory.
        grid: numbers of programs along each axis.
        programs: numbers of those that this machine runs.
        threads: of a program.
        shared: bytes of shared memory of a program.
    """

    def __init__(
        self, module: Module, memory: Global, grid: tuple[int, int, int], programs: np.ndarray,
        threads: int, shared: int,
    ) -> None:  # fmt: skip
        self.module, self.memory = module, memory
        self.shared = Shared(len(programs), max(shared, 16))
        self.threads, self.count = threads, len(programs) * threads
        number = np.arange(self.count)
        self.program = number // threads  # among those of this machine
        self.program_of_grid = programs[self.program]
        self.lane, self.warp = number % WARP, number % threads // WARP
        self.first_of_warp = number - self.lane
        self.copies: list[list] = [[]]
        """Groups of asynchronous copies to shared memory, the last one open."""
        at = self.program_of_grid
        axes = (at % grid[0], at // grid[0] % grid[1], at // (grid[0] * grid[1]))
        self.special = {'%tid.x': (number % threads).astype(np.uint32)}
        for axis, values, size in zip('xyz', axes, grid, strict=True):
            self.special[f'%ctaid.{axis}'] = values.astype(np.uint32)
            self.special[f'%nctaid.{axis}'] = np.array([size], np.uint32)

    def run(self, arguments: list[int]) -> None:
        """Runs the kernel; pointers are addresses, and float32 numbers are bits."""
        kernel = self.module.entry
        pairs = zip(kernel.parameters, arguments, strict=True)
        parameters = {name: constant(value, DTYPES[kind]) for (kind, name), value in pairs}
        self.call(kernel, parameters, np.ones(self.count, bool))

    def call(self, function: Function, parameters: dict, active: np.ndarray) -> None:
        """Runs a function for the active threads, always the block that comes first in it.

        So threads that went different ways at a branch meet where these join.
        """
        before = getattr(self, 'frame', None)
        self.frame = Frame(function, parameters)
        place = np.where(active, 0, DONE)
        while (block := int(place.min())) < len(function.blocks):
            here = place == block
            place = np.where(here, self._block(function.blocks[block], block, here), place)
        self.frame = before

    def _block(self, instructions: list[Instruction], block: int, here: np.ndarray) -> np.ndarray:
        """Runs a block for the threads that are here; returns the next block of each."""
        mask = None if here.all() else here
        for instruction in instructions:
            if instruction.name in JUMPS:
                taken = self.guarded(instruction, None)
                return np.where(True if taken is None else taken, self._target(instruction, here),
                                block + 1)  # fmt: skip
            try:
                self._step(instruction, mask)
            except Fault as error:
                raise Fault(f'{error}, in {instruction.text}') from error
        return np.full(self.count, block + 1)

    def _target(self, jump: Instruction, here: np.ndarray) -> np.ndarray | int:
        function = self.frame.function
        if jump.name == 'ret':
            return DONE
        if jump.name == 'bra':
            return function.labels[jump.arguments[0]]
        index, table = jump.arguments
        targets = np.array([function.labels[label] for label in function.tables[table]])
        return targets[np.where(here, self.read(index, np.uint32), 0)]

    def _step(self, instruction: Instruction, mask: Mask) -> None:
        mask = self.guarded(instruction, mask)
        if mask is None or mask.any():
            if instruction.name not in OPERATIONS:
                raise Fault('an instruction that is not known')
            OPERATIONS[instruction.name](self, instruction, mask)

    def guarded(self, instruction: Instruction, mask: Mask) -> Mask:
        """The threads that do an instruction; None: all."""
        if instruction.guard is None:
            return mask
        guard = self.full(self.read(instruction.guard, np.bool_))
        guard = ~guard if instruction.negated else guard
        return guard if mask is None else mask & guard

    def full(self, value: np.ndarray) -> np.ndarray:
        """A value of each thread, where it may be one for all."""
        return np.broadcast_to(value, (self.count,))

    def lanes(self, mask: Mask) -> np.ndarray:
        """Numbers of the threads of a mask."""
        return np.arange(self.count) if mask is None else np.flatnonzero(mask)

    def groups(self, mask: Mask, threads: int) -> np.ndarray:
        """Which groups of so many threads do an instruction: all threads of a group, or none."""
        here = self.full(True if mask is None else mask).reshape(-1, threads)
        if (here.any(1) != here.all(1)).any():
            raise Fault(f'a part of {threads} threads')
        return here.all(1)

    def read(self, operand: str, dtype: np.dtype) -> np.ndarray:
        """Value of a register, of a number or of a symbol: of each thread, or one for all."""
        if operand in self.special:
            return self.special[operand]
        if operand[0] == '%':
            if operand not in self.frame.registers:
                raise Fault(f'{operand} is read before it is written')
            return sized(self.frame.registers[operand], dtype)
        if operand == 'global_smem':
            return constant(0, dtype)
        if operand.startswith('0f'):
            return constant(int(operand[2:], 16), np.uint32).view(dtype)
        return constant(int(operand, 0), dtype)

    def write(self, register: str, value: np.ndarray, mask: Mask) -> None:
        """Sets a register in the threads of a mask."""
        kind = self.frame.function.registers[re.match('%[a-z]+', register)[0]]
        value = sized(value, DTYPES[kind])
        if mask is not None:
            before = self.frame.registers.get(register, np.zeros(1, value.dtype))
            value = np.where(mask, value, before)
        self.frame.registers[register] = value


def sized(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The bits of a value as of another type: the lowest ones of it, or zeros above them."""
    if value.dtype.itemsize != np.dtype(dtype).itemsize:
        value = value.astype(f'u{np.dtype(dtype).itemsize}')
    return value.view(dtype)


def constant(value: int, dtype: np.dtype) -> np.ndarray:
    """A number, one for all threads, from its bits or with a sign."""
    dtype = np.dtype(dtype)
    if dtype.kind == 'b':
        return np.array([value != 0])
    bits = value & ((1 << 8 * dtype.itemsize) - 1)
    return np.array([bits], f'u{dtype.itemsize}').view(dtype)


def run(
    module: Module, memory: Global, grid: tuple[int, int, int], threads: int, shared: int,
    arguments: list[int], together: int = 64,
) -> None:  # fmt: skip
    """Runs all programs of a grid, some ``together``."""
    programs = np.arange(grid[0] * grid[1] * grid[2], dtype=np.int32)
    for first in range(0, len(programs), together):
        some = programs[first : first + together]
        with np.errstate(all='ignore'):
            Machine(module, memory, grid, some, threads, shared).run(arguments)
