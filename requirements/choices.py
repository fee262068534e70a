"""What the set-up chooses by itself: the interpreter, and torch for the GPU that is there."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = {
    'onedl': ((3, 13), (3, 12), (3, 11), (3, 10), (3, 14)),
    'upstream': ((3, 11), (3, 10)),
}
CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
CUDA_12_TORCH = '2.10.0'
"""The last torch whose default build on PyPI is for CUDA 12."""


class SetupError(Exception):
    """What is printed as one line."""


def say(text: str) -> None:
    """Prints the start of a step."""
    print(f'== {text}', flush=True)


def version_of(python: str) -> tuple[int, int] | None:
    """Of an interpreter; None if it does not run."""
    command = [python, '-c', 'import sys; print(*sys.version_info[:2])']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python(stack: str, asked: str) -> tuple[str, tuple[int, int]]:
    """The interpreter that was asked for, else this one, else the first on PATH that fits."""
    fitting = PYTHONS[stack]
    if asked:
        candidates = [asked]
    else:
        candidates = [sys.executable, 'python3', 'python']
        candidates += [f'python{major}.{minor}' for major, minor in fitting]
    found = {python: version_of(python) for python in candidates}
    for python, version in found.items():
        if version in fitting:
            return python, version
    named = ', '.join(map(dotted, sorted(fitting)))
    seen = ', '.join(
        f'{p} ({dotted(v) if v else "does not run"})' for p, v in found.items() if v or asked
    )
    raise SetupError(
        f'STACK={stack} needs Python {named}; found {seen or "none"}; install one, or say '
        'PYTHON=/path/to/python'
    )


def dotted(version: tuple[int, ...]) -> str:
    """A version as a text."""
    return '.'.join(map(str, version))


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA that the NVIDIA driver runs; None without driver or GPU."""
    try:
        done = subprocess.run(['nvidia-smi'], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'CUDA Version:\s*(\d+)\.(\d+)', done.stdout)
    return (int(found[1]), int(found[2])) if found and done.returncode == 0 else None


def reachable(index: str) -> bool:
    """Whether the package index ``index`` answers for torch within 5 s."""
    try:
        urllib.request.urlopen(index.rstrip('/') + '/torch/', timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def torch_arguments(stack: str, asked: str, index: str) -> tuple[list[str], str]:
    """What to give pip for torch and torchvision, and a description of the build.

    Args:
        stack: its ``torch.txt`` has the default.
        asked: ``TORCH``: another version; torchvision then follows from it.
        index: ``TORCH_INDEX``: where builds for another CUDA or the CPU are.

    Raises:
        SetupError: ``asked`` is no version, or the index cannot be reached.
    """
    default = dict(line.split('==') for line in (HERE / stack / 'torch.txt').read_text().split())
    cuda = driver_cuda()
    if asked and not re.fullmatch(r'2\.\d+\.\d+', asked):
        raise SetupError(f'TORCH: expected a version such as {default["torch"]}, found {asked!r}')
    torch, vision = asked or default['torch'], default['torchvision']
    if not asked and stack == 'onedl' and cuda and cuda < (13, 0):
        torch = CUDA_12_TORCH
    packages = [f'torch=={torch}']
    if torch == default['torch']:
        packages.append(f'torchvision=={vision}')
    else:
        packages.append(f'torchvision==0.{int(torch.split(".")[1]) + 15}.*')
    if index:
        if not reachable(index):
            raise SetupError(f'TORCH_INDEX: {index} cannot be reached')
        return [*packages, '--extra-index-url', index], f'torch {torch} from {index}'
    if cuda:
        words = f'torch {torch} (GPU; its driver runs CUDA {dotted(cuda)})'
        if cuda < (12, 0):
            words += ', which is too old for it: update the driver'
        return packages, words
    if sys.platform == 'linux' and reachable(CPU_INDEX):
        return [*packages, '--extra-index-url', CPU_INDEX], f'torch {torch} (no GPU: CPU build)'
    size = ', some GB' if sys.platform == 'linux' else ''
    return packages, f'torch {torch} (default build{size})'
