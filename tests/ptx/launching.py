"""Launches of this package's kernels: compiled for a GPU, run on tensors of the CPU."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from moganet_dense.models.kernels import choice, kernel_report, launching, use_kernels
from moganet_dense.models.kernels.launching import Launch, Launcher

from .machine import run
from .memory import Fault, Global
from .reading import Module

_compiled: dict[tuple[str, ...], tuple[Module, int]] = {}


def compiled(launch: Launch, capability: int) -> tuple[Module, int]:
    """A kernel and how many bytes of shared memory a program has; kept, as Triton keeps it."""
    name, signature = launch.kernel.fn.__name__, str(kernel_report.signature(launch))
    key = (name, signature, str(launch.options), str(capability))
    if key not in _compiled:
        made = kernel_report.build(launch, capability)
        _compiled[key] = Module(made.asm['ptx']), made.metadata.shared
    return _compiled[key]


def bytes_of(storage: torch.UntypedStorage) -> np.ndarray:
    """The memory of a tensor itself."""
    data = (ctypes.c_uint8 * storage.nbytes()).from_address(storage.data_ptr())
    return np.ctypeslib.as_array(data)


def run_launch(launch: Launch, capability: int) -> None:
    """Runs a kernel on the tensors of a launch.

    Raises:
        Fault: a GPU would refuse it, or its result is undefined.
    """
    module, shared = compiled(launch, capability)
    types, _, _ = kernel_report.signature(launch)
    values = [
        value
        for name, value in zip(launch.kernel.arg_names, launch.arguments, strict=False)
        if types[name] != 'constexpr'
    ]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage() for x in tensors}
    arguments = [
        value.data_ptr() if isinstance(value, torch.Tensor)
        else int(np.float32(value).view(np.uint32)) if isinstance(value, float) else value
        for value in values
    ]  # fmt: skip
    arguments += [0] * (len(module.entry.parameters) - len(arguments))  # Triton's own memory
    memory = Global([(at, bytes_of(storage)) for at, storage in storages.items() if at])
    threads, grid = 32 * launch.options['num_warps'], (*launch.grid, 1, 1)[:3]
    try:
        run(module, memory, grid, threads, shared, arguments)
    except Fault as fault:
        raise Fault(f'{launch.kernel.fn.__name__}, {launch.constants}: {fault}') from fault


@contextmanager
def kernels_of(capability: int) -> Iterator[None]:
    """Context in which blocks on the CPU launch the kernels of GPUs of a compute capability.

    Memory that is read before it is written is NaN.
    """

    def launch(self: Launcher, *tensors: torch.Tensor) -> None:
        launching.launches.note(self.name)
        arguments = (*tensors, *self.numbers)
        made = Launch(self.kernel, self.grid, arguments, self.constants, self.options)
        run_launch(made, capability)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, 'INTERPRETED', True)  # maps of the CPU; the tiles stay those of a GPU
        patch.setattr(Launcher, '__call__', launch)
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)  # fills new tensors
        try:
            with use_kernels():
                yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
