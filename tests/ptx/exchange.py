"""Instructions that read and write memory, exchange values between threads, or wait."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from .arithmetic import Mask, dtype_of, registers_of
from .memory import Fault

if TYPE_CHECKING:
    from .machine import Machine
    from .reading import Instruction


def address(machine: Machine, operand: str, dtype: np.dtype) -> np.ndarray:
    """Of each thread, from ``[register + offset]``."""
    base, offset = re.fullmatch(r'\[\s*([^\s+]+)\s*(?:\+\s*(-?\d+)\s*)?\]', operand).groups()
    return machine.full(machine.read(base, dtype).astype(np.int64) + int(offset or 0))


def loaded(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    target, source = instruction.arguments
    space, dtype = instruction.suffixes[0], dtype_of(instruction.suffixes[-1])
    if space == 'param':
        return machine.write(target, machine.frame.parameters[source.strip('[]')], mask)
    targets, lanes = registers_of(target), machine.lanes(mask)
    size = dtype.itemsize * len(targets)
    found = fetch(machine, space, source, lanes, size).view(f'u{dtype.itemsize}')
    for number, register in enumerate(targets):
        value = np.zeros(machine.count, found.dtype)
        value[lanes] = found[:, number]
        machine.write(register, value, mask)


def fetch(machine: Machine, space: str, source: str, lanes: np.ndarray, size: int) -> np.ndarray:
    """(lanes, size) bytes of memory."""
    if space == 'global':
        at = address(machine, source, np.uint64)[lanes]
        return machine.memory.read(at, size, machine.program_of_grid[lanes])
    at = address(machine, source, np.uint32)[lanes]
    return machine.shared.read(at, size, machine.program[lanes], machine.warp[lanes])


def stored(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    target, source = instruction.arguments
    space, dtype = instruction.suffixes[0], dtype_of(instruction.suffixes[-1])
    if space == 'param':
        machine.frame.outgoing[target.strip('[]')] = machine.read(source, dtype)
        return
    lanes = machine.lanes(mask)
    values = [machine.full(machine.read(name, dtype))[lanes] for name in registers_of(source)]
    data = np.stack(values, 1).view(np.uint8)
    if space == 'global':
        at = address(machine, target, np.uint64)[lanes]
        machine.memory.write(at, data, machine.program_of_grid[lanes])
    else:
        put(machine, address(machine, target, np.uint32), data, lanes)


def put(machine: Machine, at: np.ndarray, data: np.ndarray, lanes: np.ndarray) -> None:
    """Writes (lanes, size) bytes to shared memory."""
    machine.shared.write(at[lanes], data, machine.program[lanes], machine.warp[lanes])


def copied(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """cp.async: from global to shared memory, where it arrives when its group is waited for."""
    what = instruction.suffixes[1]
    if what == 'commit_group':
        machine.copies.append([])
    elif what == 'wait_group':
        done = max(len(machine.copies) - 1 - int(instruction.arguments[0]), 0)
        for group in machine.copies[:done]:
            for at, data, lanes in group:
                put(machine, at, data, lanes)
        del machine.copies[:done]
    else:
        target, source, size, read = instruction.arguments
        size, lanes = int(size, 0), machine.lanes(mask)
        read = machine.full(machine.read(read, np.uint32))[lanes]
        if not np.isin(read, (0, size)).all():
            raise Fault('a part of a copy')
        data = np.zeros((len(lanes), size), np.uint8)
        data[read > 0] = fetch(machine, 'global', source, lanes[read > 0], size)
        at = address(machine, target, np.uint32)
        put(machine, at, np.full_like(data, 0xFF), lanes)  # until it arrives
        machine.copies[-1].append((at, data, lanes))


def shuffled(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """shfl: a register of another lane of the warp."""
    target, source, lane, *_ = instruction.arguments
    lane = machine.full(machine.read(lane, np.uint32)).astype(np.int64)
    of = {'bfly': machine.lane ^ lane, 'idx': lane % 32}[instruction.suffixes[1]]
    of += machine.first_of_warp
    if mask is not None and (mask & ~mask[of]).any():
        raise Fault('a value of a lane that is elsewhere')
    machine.write(target, machine.full(machine.read(source, np.uint32))[of], mask)


def barrier(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    machine.shared.barriers[machine.groups(mask, machine.threads)] += 1


def called(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    name, arguments = instruction.arguments
    function, frame = machine.module.functions[name], machine.frame
    names = arguments.strip('()').replace(',', ' ').split()
    pairs = zip(function.parameters, names, strict=True)
    parameters = {parameter: frame.outgoing[name] for (_, parameter), name in pairs}
    machine.call(function, parameters, machine.full(True if mask is None else mask))


OPERATIONS = {
    'bar': barrier,
    'call': called,
    'cp': copied,
    'fence': lambda machine, instruction, mask: None,
    'ld': loaded,
    'shfl': shuffled,
    'st': stored,
}
