"""Selects the implementation of a block, in one place."""

import enum
import importlib.util
import os
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...utils.errors import first_line
from ..tracing import exporting

SWITCH = 'MOGANET_KERNELS'
"""Environment variable that turns the kernels on: 1. Anything else, or nothing: off."""

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
"""Whether Triton's kernels run on the CPU, as Python, which tests use."""

OLDEST_TRITON = (3, 3)
OLDEST_GPU = (8, 0)
"""Compute capability from which on Triton compiles for a GPU."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def version_of(package: Any) -> tuple[int, int]:
    """First two numbers of a package's version."""
    major, minor = package.__version__.split('.')[:2]
    return int(major), int(minor)


class Implementation(enum.Enum):
    """How a block computes. All compute the same function up to rounding."""

    FORMULAS = 'formulas'  # the paper's equations in PyTorch's operations
    REARRANGED = 'rearranged'  # our autograd functions: fewer passes, less memory for backward
    KERNELS = 'kernels'  # fused kernels on maps in channels_last


def implementation_for(x: torch.Tensor) -> Implementation:
    """The implementation for a map ``x``, (B, C, H, W), by its device, dtype and layout.

    - the kernels, if they are switched on and :func:`reason_against` finds nothing;
    - on CPUs the rearranged form, in training (1.6 times as fast) and inference;
    - on GPUs the formulas. There a training step is launch-bound, and our autograd functions
      launch more: on an H200 a step of arch s takes 116 ms rearranged and 91 by the formulas
      in PyTorch's default layout, 143 and 76 in channels_last. Inference in the default layout
      is faster rearranged (16.6 and 17.2 ms at 2x3x800x1280, 43.0 and 51.2 at 128x3x224x224);
    - on other devices, which were not measured, the formulas.
    """
    if reason_against(x) is None:
        return Implementation.KERNELS
    if x.device.type == 'cpu':
        return Implementation.REARRANGED
    if x.device.type != 'cuda':
        return Implementation.FORMULAS
    if torch.is_grad_enabled() or x.is_contiguous(memory_format=torch.channels_last):
        return Implementation.FORMULAS
    return Implementation.REARRANGED


def reason_against(x: torch.Tensor) -> str | None:
    """The reason why the kernels do not support ``x``, (B, C, H, W); None if they do."""
    if _switch.reason is not None:
        return _switch.reason
    if x.device.type != 'cuda' and not INTERPRETED:
        return f'they need an NVIDIA GPU, and the map is on {x.device.type}'
    if x.is_cuda and (found := capability_of(x.get_device())) < OLDEST_GPU:
        oldest, own = _dotted(OLDEST_GPU), _dotted(found)
        return f'they need a GPU of compute capability {oldest} or later, and this one has {own}'
    if x.dtype not in _DTYPES:
        return f'they take float32, bfloat16 and float16, and the map is {x.dtype}'
    if not x.is_contiguous(memory_format=torch.channels_last):
        return 'they need maps in channels_last'
    if exporting():
        return 'a traced or exported file holds plain operations'
    return None


_capabilities: dict[int, tuple[int, int]] = {}


def capability_of(device: int) -> tuple[int, int]:
    """Compute capability of a GPU, by its number."""
    if device not in _capabilities:
        _capabilities[device] = torch.cuda.get_device_capability(device)
    return _capabilities[device]


# what torch.compiler.assume_constant_result sets, which would import the compiler, for a second
capability_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _dotted(version: tuple[int, int]) -> str:
    return '.'.join(map(str, version))


def dtype_for(x: torch.Tensor) -> torch.dtype:
    """The dtype of maps and products for a map: that of autocast, else that of the map."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


@contextmanager
def use_kernels(on: bool = True) -> Iterator[None]:
    """Context that switches the kernels on or off, regardless of the environment.

    Raises:
        RuntimeError: they are switched on and not supported by this installation.
    """
    if on and (reason := unavailable()) is not None:
        raise RuntimeError(f'the kernels cannot be turned on: {reason}')
    before, _switch.reason = _switch.reason, None if on else 'they are turned off'
    try:
        yield
    finally:
        _switch.reason = before


def unavailable() -> str | None:
    """The reason why this installation does not support the kernels; None if it does."""
    return reason_against_triton() or (None if INTERPRETED else _reason_against_launching())


def reason_against_triton() -> str | None:
    """The reason why the kernels cannot be compiled, for whatever machine; None if they can."""
    if torch.version.hip is not None:
        return 'they are for NVIDIA GPUs, and this is a PyTorch for ROCm'
    if not hasattr(torch.library, 'custom_op'):
        return f'they need PyTorch 2.4 or later: install it in place of {torch.__version__}'
    oldest = _dotted(OLDEST_TRITON)
    if importlib.util.find_spec('triton') is None:
        return (
            f'they need Triton {oldest} or later, which is not installed: on Linux PyTorch for '
            'CUDA brings it along, and `pip install triton` installs it alone'
        )
    try:
        import triton
    except ImportError as error:
        return f'Triton cannot be imported: {first_line(error)}'
    if version_of(triton) < OLDEST_TRITON:
        return (
            f'they need Triton {oldest} or later, and this is {triton.__version__}: PyTorch brings '
            'it along from 2.7 on'
        )
    return None


def require_triton() -> None:
    """Ends a command of this package, in one line, where the kernels cannot be compiled.

    To be called before what imports Triton; neither a GPU nor a C compiler is needed.

    Raises:
        SystemExit: they cannot; exit code 1.
    """
    reason = 'TRITON_INTERPRET=1 is set: unset it' if INTERPRETED else reason_against_triton()
    if reason is not None:
        sys.exit(f'error: the kernels cannot be compiled here: {reason}')


def _reason_against_launching() -> str | None:
    """Triton compiles the code that launches kernels, in C, with the compiler of the system."""
    if sys.platform == 'win32':
        return None  # triton-windows brings a compiler along
    chosen = os.environ.get('CC')
    if chosen and not shutil.which(chosen):
        return f'Triton compiles with {chosen}, which CC names, and there is no such program'
    if not chosen and not any(map(shutil.which, ('gcc', 'clang'))):
        return 'Triton needs a C compiler: install gcc or clang, or set CC to one'
    scheme = sysconfig.get_default_scheme().replace('posix_local', 'posix_prefix')  # of Debian
    headers = Path(sysconfig.get_paths(scheme)['include'])
    if not (headers / 'Python.h').is_file() and not os.environ.get('CPATH'):
        return (
            f'Triton needs the headers of Python, and there is no Python.h in {headers}: install '
            'the package python3-dev (Debian, Ubuntu) or python3-devel (Fedora, Red Hat)'
        )
    return None


class _Switch:
    """The reason why the kernels are off in this process; None if they are on."""

    def __init__(self) -> None:
        if os.environ.get(SWITCH) == '1':
            self.reason = unavailable()
            if self.reason is not None:
                warnings.warn(f'{SWITCH}=1 has no effect: {self.reason}', stacklevel=2)
        else:
            self.reason = f'they are off; the environment variable {SWITCH}=1 turns them on'


_switch = _Switch()
