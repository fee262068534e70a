"""Instructions that compute a value of each thread from others of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .memory import Fault

if TYPE_CHECKING:
    from .machine import Machine
    from .reading import Instruction


Mask = np.ndarray | None
"""Which threads do an instruction; None: all."""

DTYPES = {'pred': np.bool_, 'tf32': np.uint32, 'f16': np.uint16, 'bf16': np.uint16} | {
    f'{letter}{8 * size}': np.dtype(f'{name}{size}')
    for letter, name in (('u', 'u'), ('b', 'u'), ('s', 'i'), ('f', 'f'))
    for size in (1, 2, 4, 8)
    if (letter, size) not in (('f', 1), ('f', 2))
}
"""Of values by their type in PTX. Half precision numbers are bits."""


def dtype_of(kind: str) -> np.dtype:
    """Of values of a type of PTX."""
    return np.dtype(DTYPES[kind])


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Rounded once: the product is exact in float64."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; of integers towards zero, exact for those of 32 bits."""
    if a.dtype.kind == 'f':
        return a / b
    assert a.dtype.itemsize == 4
    return np.trunc(a.astype(np.float64) / np.where(b == 0, 1, b)).astype(a.dtype)


def remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """With the sign of a."""
    return np.fmod(a, np.where(b == 0, 1, b).astype(b.dtype))


def power_of_two(x: np.ndarray) -> np.ndarray:
    """2^x; what is too small for a normal number is zero."""
    y = np.exp2(x.astype(np.float64)).astype(np.float32)
    return np.where(y < np.finfo(np.float32).tiny, np.float32(0), y)


ALIKE = {
    'abs': np.abs,
    'add': np.add,
    'and': np.bitwise_and,
    'div': divided,
    'ex2': power_of_two,
    'fma': fma,
    'max': np.fmax,
    'min': np.fmin,
    'neg': np.negative,
    'not': np.invert,
    'or': np.bitwise_or,
    'rem': remainder,
    'rsqrt': lambda x: (1 / np.sqrt(x.astype(np.float64))).astype(np.float32),
    'sub': np.subtract,
    'xor': np.bitwise_xor,
}
"""Functions whose arguments and result are of one type."""

COMPARISONS = {
    'eq': np.equal, 'ne': np.not_equal, 'lt': np.less, 'le': np.less_equal, 'gt': np.greater,
    'ge': np.greater_equal,
}  # fmt: skip


def alike(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    target, *rest = instruction.arguments
    dtype = dtype_of(instruction.suffixes[-1])
    values = (machine.read(operand, dtype) for operand in rest)
    machine.write(target, ALIKE[instruction.name](*values), mask)


def multiplied(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """mul and mad: the lower or upper half of a product, or all of it."""
    target, a, b, *added = instruction.arguments
    dtype = dtype_of(instruction.suffixes[-1])
    x, y = machine.read(a, dtype), machine.read(b, dtype)
    how = instruction.suffixes[0]
    if how in ('wide', 'hi'):
        wide = np.dtype(f'{dtype.kind}{2 * dtype.itemsize}')
        x, y = x.astype(wide), y.astype(wide)
    value = x * y
    if how == 'hi':
        value = (value >> value.dtype.type(8 * dtype.itemsize)).astype(dtype)
    if added:
        value = value + machine.read(added[0], value.dtype)
    machine.write(target, value, mask)


def compared(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    target, *rest = instruction.arguments
    x, y = (machine.read(operand, dtype_of(instruction.suffixes[-1])) for operand in rest)
    value = COMPARISONS[instruction.suffixes[0]](x, y)
    if x.dtype.kind == 'f':  # NaN is not even unequal
        value &= ~(np.isnan(x) | np.isnan(y))
    machine.write(target, value, mask)


def selected(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    target, a, b, condition = instruction.arguments
    dtype = dtype_of(instruction.suffixes[-1])
    x, y = machine.read(a, dtype), machine.read(b, dtype)
    machine.write(target, np.where(machine.read(condition, np.bool_), x, y), mask)


def shifted(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """shl and shr: by as many bits as the value has, or more, nothing or the sign is left."""
    target, a, b = instruction.arguments
    x, n = machine.read(a, dtype_of(instruction.suffixes[-1])), machine.read(b, np.uint32)
    bits = 8 * x.dtype.itemsize
    by = np.minimum(n, bits - 1).astype(x.dtype)
    value = x << by if instruction.name == 'shl' else x >> by
    if x.dtype.kind == 'u':
        value = np.where(n < bits, value, x.dtype.type(0))
    machine.write(target, value, mask)


def funnel(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """shf.wrap: 32 bits of two registers."""
    target, *rest = instruction.arguments
    low, high, n = (machine.read(operand, np.uint32).astype(np.uint64) for operand in rest)
    assert instruction.suffixes[1] == 'wrap'
    both, n = high << np.uint64(32) | low, n & np.uint64(31)
    both = both << n >> np.uint64(32) if instruction.suffixes[0] == 'l' else both >> n
    machine.write(target, both.astype(np.uint32), mask)


def extracted(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """bfe: a field of bits, with its sign."""
    target, a, first, length = instruction.arguments
    x = machine.read(a, dtype_of(instruction.suffixes[-1]))
    kind, left = x.dtype.type, 8 * x.dtype.itemsize - int(first) - int(length)
    machine.write(target, x << kind(left) >> kind(left + int(first)), mask)


def widened(bits: np.ndarray, kind: str) -> np.ndarray:
    """float32 of the bits of bf16 or f16."""
    if kind == 'bf16':
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return bits.view(np.float16).astype(np.float32)


def rounded(value: np.ndarray, kind: str) -> np.ndarray:
    """Bits of float32 values, rounded to bf16 or f16: to the nearest, to even between two."""
    if kind == 'f16':
        return value.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(value).view(np.uint32)
    up = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return np.where(np.isnan(value), 0x7FFF, bits + up >> np.uint32(16)).astype(np.uint16)


def converted(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """cvt: between integers, from integers, and between float32 and half precision."""
    target, *rest = instruction.arguments
    to, source = instruction.suffixes[-2:]
    values = [machine.read(operand, dtype_of(source)) for operand in rest]
    if to in ('bf16x2', 'f16x2'):
        high, low = (rounded(value, to[:-2]).astype(np.uint32) for value in values)
        value = high << np.uint32(16) | low
    elif to in ('bf16', 'f16'):
        value = rounded(values[0], to)
    elif source in ('bf16', 'f16'):
        value = widened(values[0], source)
    elif source == 'f32':
        raise Fault('a conversion that is not known')
    else:
        value = values[0].astype(dtype_of(to))
    machine.write(target, value, mask)


def moved(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    """mov, also of several registers into one, the first in its lowest bits, or the reverse."""
    target, source = instruction.arguments
    dtype = dtype_of(instruction.suffixes[-1])
    if target[0] == '{':
        parts = registers_of(target)
        kind, bits = np.dtype(f'u{dtype.itemsize // len(parts)}'), 8 * dtype.itemsize // len(parts)
        value = machine.read(source, dtype)
        for number, part in enumerate(parts):
            if part != '_':
                machine.write(part, (value >> dtype.type(bits * number)).astype(kind), mask)
    elif source[0] == '{':
        parts = registers_of(source)
        kind, bits = np.dtype(f'u{dtype.itemsize // len(parts)}'), 8 * dtype.itemsize // len(parts)
        value = np.zeros(1, dtype)
        for number, part in enumerate(parts):
            value = value | machine.read(part, kind).astype(dtype) << dtype.type(bits * number)
        machine.write(target, value, mask)
    else:
        machine.write(target, machine.read(source, dtype).copy(), mask)


def registers_of(operand: str) -> list[str]:
    """The registers of a vector, or one."""
    return [name.strip() for name in operand.strip('{}').split(',')]


def product_or_alike(machine: Machine, instruction: Instruction, mask: Mask) -> None:
    if instruction.suffixes[-1] != 'f32':
        return multiplied(machine, instruction, mask)
    target, a, b = instruction.arguments
    machine.write(target, machine.read(a, np.float32) * machine.read(b, np.float32), mask)


OPERATIONS = dict.fromkeys(ALIKE, alike) | {
    'bfe': extracted,
    'cvt': converted,
    'mad': multiplied,
    'mov': moved,
    'mul': product_or_alike,
    'selp': selected,
    'setp': compared,
    'shf': funnel,
    'shl': shifted,
    'shr': shifted,
}
