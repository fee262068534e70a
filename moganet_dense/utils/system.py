"""What Linux, macOS and Windows do differently: locks, limits, signals and flags of files."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
    import resource
except ModuleNotFoundError:  # Windows
    import msvcrt

IS_WINDOWS = sys.platform == 'win32'

SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGHUP') if hasattr(signal, name)
)
"""Signals that ask a process to end."""

_LOCKED_BYTE = 1 << 40  # Windows locks bytes, which nobody else can read: one behind any content


def open_flags(*names: str) -> int:
    """Flags for ``os.open``, without those that this system lacks.

    CLOEXEC, and BINARY on Windows, which turns off the conversion of line ends, are always added.

    Args:
        names: for example 'NOFOLLOW', for ``os.O_NOFOLLOW``.
    """
    flags = 0
    for name in (*names, 'CLOEXEC', 'BINARY'):
        flags |= getattr(os, f'O_{name}', 0)
    return flags


def lock_file(handle: int, of_process: bool = False) -> None:
    """Locks an open file for this process, without waiting; closing it or dying releases it.

    Args:
        handle: file descriptor.
        of_process: a POSIX record lock: forked processes do not inherit it, NFS shares it between
            machines, and closing any descriptor of the file releases it.

    Raises:
        OSError: another process holds the lock (EACCES, EAGAIN), or the file system has no locks.
    """
    if IS_WINDOWS:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        os.lseek(handle, 0, os.SEEK_SET)
    elif of_process:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Context that one process at a time is in for a folder; others wait. The system releases the
    lock of a process that dies. No effect on Windows and on file systems without such locks."""
    if IS_WINDOWS:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def limit_of_files() -> int:
    """Maximum number of open files of this process; on Windows the C runtime's maximum."""
    return 8192 if IS_WINDOWS else resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit_memory(size: int) -> None:
    """Limits the address space of this process to ``size`` bytes and disables core dumps; no effect
    on macOS and Windows."""
    if sys.platform == 'linux':
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_memory() -> int | None:
    """Maximum resident memory of this process so far, in bytes; None on Windows."""
    if IS_WINDOWS:
        return None
    unit = 1 if sys.platform == 'darwin' else 1024  # getrusage(2) of each system
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def flush_to_disk(path: str | os.PathLike) -> None:
    """Flushes a file, or the entries of a folder, to disk; on Windows, only files.

    Raises:
        OSError: it cannot be opened or written.
    """
    if IS_WINDOWS and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDWR if IS_WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
