"""One training per work dir: two would mix and remove each other's checkpoints.

A record lock on a file in the folder (:func:`~moganet_dense.utils.system.lock_file`). The kernel
releases it when its process ends, loader workers do not inherit it, and NFS shares it between
machines.
"""

import errno
import os
import socket
import stat
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..utils.atomic import as_line
from ..utils.errors import UserError
from ..utils.system import lock_file, open_flags

LOCK = '.lock'
_BEGIN = b'process '
_OTHER = '{}: expected the lock file of a training, found something else; move it away'
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

_held: dict[Path, int] = {}  # file descriptors: closing any of them would release the lock


def lock(work_dir: str | os.PathLike) -> None:
    """Locks ``work_dir`` for this process until it ends or :func:`unlock` is called.

    In a group of processes rank 0 holds the lock for all.

    Raises:
        UserError: another training runs in it, it cannot be written, or something else has the
            name of the lock file.
        OSError: the file system cannot lock files for another reason.
    """
    folder = Path(work_dir).resolve()
    if not is_main_process() or folder in _held:
        return
    with as_line(folder):
        folder.mkdir(parents=True, exist_ok=True)
    handle = _opened(folder / LOCK)
    try:
        lock_file(handle, of_process=True)
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


def _opened(path: Path) -> int:
    """File descriptor of a lock file, which is created if needed.

    Raises:
        UserError: it cannot be opened, or is anything else than a file of :func:`lock`: a link,
            also a hard one, or another file, which would be overwritten.
    """
    flags = os.O_RDWR | os.O_CREAT | open_flags('NOFOLLOW', 'NONBLOCK', 'NOCTTY')
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(_OTHER.format(path))
    with as_line(path):
        handle = os.open(path, flags, 0o666)
    status = os.fstat(handle)
    begin = os.read(handle, len(_BEGIN)) if stat.S_ISREG(status.st_mode) else b'-'
    if status.st_nlink > 1 or begin not in (b'', _BEGIN):
        os.close(handle)
        raise UserError(_OTHER.format(path))
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def is_of_another(work_dir: str | os.PathLike) -> bool:
    """Whether a training has locked a folder, now or before, and it is not one of this process."""
    folder = Path(work_dir).resolve()
    return folder not in _held and os.path.lexists(folder / LOCK)


def unlock(work_dir: str | os.PathLike) -> None:
    """Releases the lock, if this process holds it."""
    handle = _held.pop(Path(work_dir).resolve(), None)
    if handle is not None:
        os.close(handle)
