"""Files are written completely or not at all: beside their place, and then moved there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    draft = None
    try:
        with as_line(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=path.parent, suffix='.part')
            with open(handle, 'wb') as file:
                file.write(content)
            os.chmod(draft, 0o644)  # mkstemp's are its owner's alone
            os.replace(draft, path)
            draft = None
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Sees that a file can be written, before what goes there is computed.

    Raises:
        UserError: it is a folder, or lies where nothing can be written.
    """
    if path.is_dir():
        raise UserError(f'{path}: expected the name of a file to write, found a folder')
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f'{path} cannot be written: {nearest} is no folder that can be written to')


@contextlib.contextmanager
def as_line(path: Path) -> Iterator[None]:
    """Makes a failure to write a line.

    Raises:
        UserError: an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error.strerror})') from None


def draft_of(target: Path) -> Path:
    """Where a file is written before it is moved to ``target``."""
    return target.with_name(f'.{target.name}.part')


def move_durably(draft: Path, target: Path) -> None:
    """Moves a file within its folder: flushed before, and the folder after."""
    _flush(draft)
    os.replace(draft, target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
