"""Atomic writing of files.

A file is written under a random name next to its target, flushed to disk and renamed. The temporary
file is opened exclusively, so that no link is followed and two processes never share one; a target
that is a symbolic link is replaced, not followed.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from .errors import FULL, UserError, reason_of, room_for
from .file_kinds import kind_of
from .regular_files import require_regular
from .system import flush_to_disk

_TEMPORARY = re.compile(r'\..+\.[a-z0-9_]{8}\.part(\.[a-z]+)?')


@contextlib.contextmanager
def replacing(target: Path, ending: str = '') -> Iterator[Path]:
    """Yields an empty temporary file next to ``target``, which it replaces on success.

    The file is flushed to disk before it is renamed, and the folder afterwards. Its name has
    ``ending`` at the end, where what writes it expects one.

    Raises:
        OSError: the folder cannot be written, or ``target`` is a folder, a device or a FIFO; it is
            unchanged.
    """
    _require_replaceable(target)
    suffix, known = f'.part{ending}', os.fsencode(target.name)[:200]  # of 255 bytes of a name
    prefix = f'.{known.decode(errors="ignore")}.'
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # files of mkstemp are private
        flush_to_disk(temporary)
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file atomically; creates its folder if needed.

    Raises:
        UserError: it cannot be written.
    """
    with as_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file, or the files of a folder but for Python's caches, each atomically. A link in
    place of a target is replaced, not followed.

    Raises:
        OSError: one cannot be read or written.
    """
    if target.is_symlink():
        target.unlink()
    if not source.is_dir():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    elif source.name != '__pycache__':
        target.mkdir(exist_ok=True)
        for entry in source.iterdir():
            copy_whole(entry, target / entry.name)


def write_text(path: Path, text: str) -> None:
    """Writes a file as UTF-8, atomically.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def remove_temporary_files(folder: Path) -> None:
    """Removes temporary files of :func:`replacing` that killed processes left in a folder."""
    for entry in os.scandir(folder):
        if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def require_writable(path: Path, suffixes: Collection[str] = ()) -> None:
    """Checks that a file can be written, before its content is computed.

    Args:
        path: of the file.
        suffixes: of files of its kind: one of another kind is not replaced; (): any is.

    Raises:
        UserError: it is a folder, a device or a FIFO, its folder is not writable, or there is a
            file of another kind.
    """
    try:
        _require_replaceable(path)
    except OSError as error:
        found = str(error.strerror).removeprefix('it is ')
        raise UserError(f'{path}: expected the name of a file to write, found {found}') from None
    if suffixes and path.suffix and path.suffix.lower() not in suffixes and path.exists():
        raise UserError(
            f'{path} is {kind_of(path)} that would be replaced; expected a name that ends in '
            f'{" or ".join(suffixes)}, or of no file yet'
        )
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f'{path} cannot be written: {nearest} is not a writable folder')


def require_folder(option: str, folder: str | os.PathLike) -> None:
    """Checks that files can be written to a folder that is there or can be made, before their
    content is computed.

    Args:
        option: that names it, for the message.
        folder: its path.

    Raises:
        UserError: there is something else in its place, or it is not writable.
    """
    path = Path(folder).absolute()
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise UserError(
            f'{option}: expected a folder to write to, found {kind_of(nearest)}: {nearest}'
        )
    if not os.access(nearest, os.W_OK):
        raise UserError(f'{option}: {folder} cannot be written: {nearest} is not a writable folder')


def require_no_input(path: Path, inputs: Iterable[str | os.PathLike]) -> None:
    """Checks that an output file takes the place of none of the files it is made from.

    Args:
        path: of the output.
        inputs: paths; names and URLs among them are no files.

    Raises:
        UserError: it is one of them.
    """
    for each in inputs:
        if path.exists() and os.path.exists(each) and path.samefile(each):
            raise UserError(f'{path}: this file is read as {each}; choose another name for --out')


def _require_replaceable(path: Path) -> None:
    """Refuses what would be lost if a file took its place: for root even /dev/null.

    Raises:
        OSError: it is a folder, a device, a FIFO, or /dev/stdout and the like.
    """
    if path.is_symlink() and os.readlink(path).startswith('/proc/'):
        raise OSError(errno.EINVAL, 'it is a stream', os.fspath(path))
    if path.exists():
        require_regular(path)


def is_full(error: OSError) -> bool:
    """Whether an error is that of a full disk, a quota, or the largest size of a file."""
    return error.errno in FULL


@contextlib.contextmanager
def as_line(path: Path) -> Iterator[None]:
    """Replaces an error of writing a file or folder with one line.

    Raises:
        UserError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f'{path} cannot be written ({_cause(path, error)}') from error


def _cause(path: Path, error: OSError) -> str:
    """The message of an error of writing, and the fix. Pillow raises an error without a number if
    the disk is full; then the number is found by writing."""
    if error.errno is None:
        error = _failure(path) or error
    fix = room_for(error)
    inner = [place for place in (path, *path.absolute().parents) if place.exists()]
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and inner and not inner[0].is_dir():
        fix = f'{inner[0]} is a file, move it away'
    return f'{error.strerror or reason_of(error)})' + (f'; {fix}' if fix else '')


def _failure(path: Path) -> OSError | None:
    """The error of writing a megabyte near ``path``, if there is one."""
    try:
        nearest = next(folder for folder in path.absolute().parents if folder.is_dir())
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        return error
    return None


def _umask() -> int:
    found = os.umask(0o022)
    os.umask(found)
    return found
