"""One training per work dir: two would mix and remove each other's checkpoints.

A POSIX record lock (``fcntl.lockf``) on a file in the folder. The kernel releases it when its
process ends, loader workers do not inherit it, and NFS shares it between machines.
"""

import errno
import fcntl
import os
import socket
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..utils.errors import UserError

LOCK = '.lock'
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

_held: dict[Path, int] = {}  # file descriptors: closing any of them would release the lock


def lock(work_dir: str | os.PathLike) -> None:
    """Locks ``work_dir`` for this process until it ends or :func:`unlock` is called.

    In a group of processes rank 0 holds the lock for all.

    Raises:
        UserError: another training runs in it.
        OSError: it cannot be written.
    """
    folder = Path(work_dir).resolve()
    if not is_main_process() or folder in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(folder / LOCK, flags, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 200).decode(errors='replace').strip()
        os.close(handle)
        if error.errno in _NO_LOCKS:
            print_log(f'{folder} has no file locks: run only one training in it', 'current')
            return
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise UserError(
            f'another training ({owner or "unknown process"}) runs in {work_dir}; wait for it, '
            'stop it, or choose another folder with --work-dir'
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[folder] = handle


def unlock(work_dir: str | os.PathLike) -> None:
    """Releases the lock, if this process holds it."""
    handle = _held.pop(Path(work_dir).resolve(), None)
    if handle is not None:
        os.close(handle)
