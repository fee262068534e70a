"""Matrix instructions: warps and groups of four warps hold parts of a matrix in registers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from .arithmetic import Mask, registers_of, widened
from .exchange import address, put
from .memory import Fault

if TYPE_CHECKING:
    from .machine import Machine
    from .reading import Instruction

LANE = np.arange(32)
GROUP, IN_GROUP = LANE // 4, LANE % 4
GROUP_THREADS = 128  # four warps


def count_of(instruction: Instruction) -> int:
    """Matrices of 8 x 8 that an instruction moves: its suffix x1, x2 or x4."""
    return next(int(name[1]) for name in instruction.suffixes if re.fullmatch(r'x\d', name))


def matrix_loaded(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """ldmatrix: 8 x 8 numbers of 16 bits; lane 8 i + r has the address of row r of matrix i."""
    targets, source = instruction.arguments
    active = machine.full(True if mask is None else mask)
    lanes = np.flatnonzero(active & (machine.lane < 8 * count_of(instruction)))
    at, rows = address(machine, source, np.uint32), np.zeros((machine.count, 8), np.uint16)
    read = machine.shared.read(at[lanes], 16, machine.program[lanes], machine.warp[lanes])
    rows[lanes] = read.view(np.uint16)
    row, column = machine.lane // 4, 2 * (machine.lane % 4)
    for number, target in enumerate(registers_of(targets)):
        first = machine.first_of_warp + 8 * number
        if 'trans' in instruction.suffixes:
            low, high = rows[first + column, row], rows[first + column + 1, row]
        else:
            low, high = rows[first + row, column], rows[first + row, column + 1]
        machine.write(target, np.stack([low, high], 1).view(np.uint32)[:, 0], mask)


def matrix_stored(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """stmatrix: the reverse."""
    target, sources = instruction.arguments
    assert 'trans' not in instruction.suffixes
    active = machine.full(True if mask is None else mask)
    lanes = np.flatnonzero(active & (machine.lane < 8 * count_of(instruction)))
    held = [machine.full(machine.read(name, np.uint32)) for name in registers_of(sources)]
    holders = (machine.first_of_warp + 4 * (machine.lane % 8))[lanes, None] + np.arange(4)
    rows = np.stack(held)[(machine.lane // 8)[lanes, None], holders]
    put(machine, address(machine, target, np.uint32), rows.view(np.uint8), lanes)


def numbers(bits: np.ndarray, kind: str) -> np.ndarray:
    """float64 values of tf32, or of two of bf16 or f16 in each register: (..., 1 or 2)."""
    if kind == 'tf32':
        return (bits & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)[..., None]
    halves = bits[..., None] >> np.array([0, 16], np.uint32)
    return widened(halves.astype(np.uint16), kind).astype(np.float64)


def held(machine: Machine, operand: str, threads: int) -> np.ndarray:
    """Bits of a matrix in registers: (groups of threads, threads, registers)."""
    values = [machine.full(machine.read(name, np.uint32)) for name in registers_of(operand)]
    return np.stack(values, 1).reshape(-1, threads, len(values))


def left_of(parts: np.ndarray, kind: str) -> np.ndarray:
    """(warps, 16, k) from the registers of a left operand, (warps, 32, 4)."""
    values = numbers(parts, kind)
    each = values.shape[-1]
    result = np.empty((len(parts), 16, 8 * each))
    for number in range(4):
        for n in range(each):
            column = each * IN_GROUP + n + 4 * each * (number // 2)
            result[:, GROUP + 8 * (number % 2), column] = values[..., number, n]
    return result


def right_of(parts: np.ndarray, kind: str) -> np.ndarray:
    """(warps, k, 8) from the registers of a right operand, (warps, 32, 2)."""
    values = numbers(parts, kind)
    each = values.shape[-1]
    result = np.empty((len(parts), 8 * each, 8))
    for number in range(2):
        for n in range(each):
            result[:, each * IN_GROUP + n + 4 * each * number, GROUP] = values[..., number, n]
    return result


def multiplied_by_warps(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """mma.m16n8k16 of half precision, mma.m16n8k8 of tf32."""
    targets, a, b, c = instruction.arguments
    machine.groups(mask, 32)
    kind = instruction.suffixes[-2]
    product = left_of(held(machine, a, 32), kind) @ right_of(held(machine, b, 32), kind)
    sums = held(machine, c, 32).view(np.float32)
    for number, target in enumerate(registers_of(targets)):
        own = product[:, GROUP + 8 * (number // 2), 2 * IN_GROUP + number % 2] + sums[..., number]
        machine.write(target, own.astype(np.float32).reshape(-1), mask)


def described(machine: Machine, operand: str, rows: int, columns: int, size: int) -> np.ndarray:
    """Bits of a matrix in shared memory by its descriptor, (groups, rows, columns).

    Along ``columns`` numbers follow each other, in lines of 32, 64 or 128 bytes; eight lines are
    a block, and 16 bytes within a line are swapped by its number. Blocks of rows lie a stride
    apart.
    """
    value = machine.full(machine.read(operand, np.uint64)).reshape(-1, GROUP_THREADS)
    if (value != value[:, :1]).any():
        raise Fault('a descriptor that differs between threads')
    start, stride, swizzle = (
        (value[:, 0] >> np.uint64(first) & np.uint64((1 << length) - 1)).astype(np.int64)
        for first, length in ((0, 14), (32, 14), (62, 2))
    )
    if (swizzle == 0).any() or (value[:, 0] >> np.uint64(49) & np.uint64(7)).any():
        raise Fault('a layout in shared memory that is not known')
    line = (256 >> swizzle)[:, None, None]
    row, column = np.arange(rows)[:, None], np.arange(columns) * size
    at = 16 * start[:, None, None] + row // 8 * 16 * stride[:, None, None] + row % 8 * line + column
    at ^= (at >> 7 & line // 16 - 1) << 4
    return shared_numbers(machine, at, size)


def shared_numbers(machine: Machine, at: np.ndarray, size: int) -> np.ndarray:
    """Bits of numbers in shared memory, read by all warps of a group."""
    first = np.arange(0, machine.count, GROUP_THREADS)
    program = np.repeat(machine.program[first], at[0].size)
    nobody = np.full(at.size, -3, np.int16)  # no warp, so that a write since the barrier is a fault
    found = machine.shared.read(at.reshape(-1), size, program, nobody)
    return found.view(f'u{size}').reshape(at.shape)


def multiplied_by_groups(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """wgmma: (64, k) in registers or shared memory times (k, n), kept as (n, k) in shared memory.

    https://docs.nvidia.com/cuda/parallel-thread-execution/#asynchronous-warpgroup-level-matrix-instructions
    """
    if instruction.suffixes[0] != 'mma_async':
        return  # it has finished at once
    if mask is not None:
        raise Fault('a part of the programs')
    targets, a, b, added, *options = instruction.arguments
    kind, n, k = instruction.suffixes[-1], *map(int, re.findall(r'[nk](\d+)', instruction.text)[:2])
    size = 4 if kind == 'tf32' else 2
    if a[0] == '{':
        warps = left_of(held(machine, a, GROUP_THREADS).reshape(-1, 32, 4), kind)
        left = warps.reshape(-1, 64, k)
    else:
        left = plain_numbers(described(machine, a, 64, k, size), kind)
    if set(options[:2]) != {'1'} or set(options[2:]) - {'0'}:
        raise Fault('a product that is not known')  # with other signs, or transposed
    right = plain_numbers(described(machine, b, n, k, size), kind)
    product = np.einsum('gmk,gnk->gmn', left, right)
    keeps = machine.full(machine.read(added, np.bool_))
    thread = np.arange(GROUP_THREADS)
    for number, target in enumerate(registers_of(targets)):
        row = 16 * (thread // 32) + thread % 32 // 4 + 8 * (number // 2 % 2)
        own = product[:, row, 8 * (number // 4) + 2 * (thread % 4) + number % 2].reshape(-1)
        before = machine.full(machine.read(target, np.float32))
        machine.write(target, (own + np.where(keeps, before, 0)).astype(np.float32), None)


def plain_numbers(bits: np.ndarray, kind: str) -> np.ndarray:
    """float64 values of one number each."""
    return numbers(bits, kind)[..., 0] if kind == 'tf32' else widened(bits, kind).astype(np.float64)


OPERATIONS = {
    'ldmatrix': matrix_loaded,
    'mma': multiplied_by_warps,
    'stmatrix': matrix_stored,
    'wgmma': multiplied_by_groups,
}
