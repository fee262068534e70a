"""Opens regular files and rejects everything else.

Opening a FIFO blocks, ``/dev/zero`` never ends, a terminal waits for a key. Paths in a config, an
annotation or a pointer are opened here, or checked by :func:`require_regular`.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, NoReturn

from .system import open_flags

_KINDS = {
    stat.S_ISDIR: 'a folder',
    stat.S_ISFIFO: 'a FIFO',
    stat.S_ISCHR: 'a device',
    stat.S_ISBLK: 'a device',
    stat.S_ISSOCK: 'a socket',
}


def require_regular(path: str | os.PathLike) -> os.stat_result:
    """Status of the regular file at ``path``, links followed, without opening it.

    Raises:
        OSError: there is none; ``strerror`` names what was found instead.
    """
    return _regular(os.stat(path), path)


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file to read bytes, without blocking.

    Raises:
        OSError: as :func:`require_regular`; or it is not readable.
        ValueError: NUL in the path.
    """
    require_regular(path)  # before it is opened, which alone has an effect on some devices
    flags = os.O_RDONLY | open_flags('NONBLOCK', 'NOCTTY')
    file = open(path, 'rb', opener=lambda name, _: os.open(name, flags))  # noqa: SIM115 returned
    try:
        _regular(os.fstat(file.fileno()), path)  # it may have been replaced meanwhile
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | os.PathLike, limit: int | None = None) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        limit: maximum size in bytes; None: the available memory.

    Raises:
        OSError: as :func:`open_regular`; or it is larger than ``limit`` or than the memory.
        ValueError: NUL in the path.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            _refuse(f'{megabytes(size)}, expected at most {megabytes(limit)}', path)
        require_memory(path, size)
        return file.read(size)  # no more, even if it grows


def require_memory(path: str | os.PathLike, size: int | None = None) -> None:
    """Checks that a file fits into the available memory.

    Args:
        path: the file.
        size: its size in bytes; None: read from the file system.

    Raises:
        OSError: it does not; ``strerror`` has both numbers.
    """
    size = require_regular(path).st_size if size is None else size
    if size > 1 << 20 and size > (available := available_memory()):
        on_disk = getattr(os.stat(path), 'st_blocks', size) * 512  # Windows: not known
        sparse = f', {megabytes(on_disk)} of them on the disk' if on_disk < size // 2 else ''
        _refuse(
            f'{megabytes(size)}{sparse}, and {megabytes(available)} of memory are available', path
        )


def available_memory() -> int:
    """Bytes available to a process without swapping: of the machine or its control group."""
    found = [_meminfo()]
    group = Path('/sys/fs/cgroup')
    try:
        limit, used = ((group / f'memory.{n}').read_text().strip() for n in ('max', 'current'))
        found.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # no control group v2, or no limit
        pass
    return min(found)


def megabytes(size: int) -> str:
    """A readable size, such as '41 000 MB'."""
    return f'{max(1, round(size / 1e6)):,} MB'.replace(',', ' ') if size else '0 MB'


def _meminfo() -> int:
    try:
        for line in Path('/proc/meminfo').read_text().splitlines():
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return 1 << 62


def _regular(status: os.stat_result, path: str | os.PathLike) -> os.stat_result:
    if stat.S_ISREG(status.st_mode):
        return status
    kind = next((name for is_kind, name in _KINDS.items() if is_kind(status.st_mode)), 'no file')
    raise OSError(errno.EINVAL, f'it is {kind}', os.fspath(path))


def _refuse(reason: str, path: str | os.PathLike) -> NoReturn:
    raise OSError(errno.EFBIG, f'it has {reason}', os.fspath(path))
