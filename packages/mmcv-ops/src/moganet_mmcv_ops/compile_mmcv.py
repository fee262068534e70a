"""Compiles mmcv with its own operators: ``python -m moganet_mmcv_ops.compile_mmcv``.

Needs a C++ compiler, and ``nvcc`` for operators on a GPU. pip alone does not do it from torch 2.14
on: its headers are C++20, and mmcv's ``setup.py`` has the compiler read them as C++17.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

BUILD_TOOLS = ('setuptools<82', 'wheel', 'ninja')
OLD, NEW = '-std=c++17', '-std=c++20'


def installed() -> str:
    """The mmcv that is installed, as a requirement; the newest onedl-mmcv without any."""
    for name in ('onedl-mmcv', 'mmcv'):
        try:
            return f'{name}=={metadata.version(name)}'
        except metadata.PackageNotFoundError:
            continue
    return 'onedl-mmcv'


def unpack(requirement: str, folder: Path) -> Path:
    """The source of mmcv, downloaded; it asks for the C++ that torch's headers need.

    Args:
        requirement: such as ``onedl-mmcv==2.3.6``.
        folder: an empty one, where it is unpacked.
    """
    name = requirement.split('==')[0]
    options = ['--no-deps', '--no-build-isolation', '--no-binary', name, '--dest', folder]
    pip('download', *options, requirement)
    (archive,) = folder.glob('*.tar.gz')
    shutil.unpack_archive(archive, folder)
    (script,) = folder.glob('*/setup.py')
    if needs_newer_standard():
        script.write_text(script.read_text().replace(OLD, NEW))
    return script.parent


def needs_newer_standard() -> bool:
    """Whether torch's headers refuse what mmcv asks for."""
    torch = Path(importlib.util.find_spec('torch').origin).parent
    return 'C++20 or later' in (torch / 'include/ATen/ATen.h').read_text()


def pip(*arguments: str | Path) -> None:
    """Runs pip of this interpreter; SystemExit with its code if it fails."""
    command = [sys.executable, '-m', 'pip', *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, 'MMCV_WITH_OPS': '1'})
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Argument: a requirement; without, the mmcv that is installed."""
    requirement = sys.argv[1] if len(sys.argv) > 1 else installed()
    pip('install', *BUILD_TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        source = unpack(requirement, Path(folder))
        # without the cache: a wheel that was built without operators would come out of it
        options = ['--no-deps', '--no-build-isolation', '--no-cache-dir', '--force-reinstall']
        pip('install', *options, source)


if __name__ == '__main__':
    main()
