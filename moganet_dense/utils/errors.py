"""Errors that the command line prints as one line, without a traceback."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .system import limit_of_files

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""
STOPPED = 75
"""Exit code of a training that was stopped and saved: EX_TEMPFAIL of sysexits.h, try again."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, a quota, and the largest size of a file."""


class UserError(Exception):
    """A mistake of the user, with its fix.

    The first line of the message is complete: what was expected, what was found, and the fix. More
    lines may show a layout.
    """


class NoWeights(UserError):
    """A model without weights: a config whose checkpoint was not given."""


class WrongUsage(UserError):
    """Arguments of a command that contradict each other or the model: exit code 2."""


class Stopped(SystemExit):
    """Training was stopped by a signal, and saved to be resumed.

    If nothing catches it, as in the scripts of the toolboxes, Python exits with code 75.
    """

    def __init__(self, text: str) -> None:
        super().__init__(STOPPED)
        self.text = text

    def __str__(self) -> str:
        return self.text


class Interrupted(SystemExit):
    """A signal has stopped the program at once, which was already reported.

    Args:
        number: of the signal; the exit code is 128 + number, as in shells.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Context that replaces any error with one line that starts with ``what``.

    For code that reads or builds input of the user. The original error is the cause, and the
    command line shows it with MOGANET_TRACEBACK=1.

    Raises:
        UserError: in place of any error; a UserError is passed unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, UnboundLocalError) and isinstance(error.__context__, OSError):
            error = error.__context__  # of mmengine's config reader, which fails where it cleans up
        reason = shortage(error) or f'{reason_of(error)} [{type(error).__name__}]'
        raise UserError(f'{what}: {reason}') from error


def reason_of(error: BaseException) -> str:
    """The text of an error in one line; its type if it has none."""
    return ' '.join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for the end of ours; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def shortage(error: BaseException) -> str | None:
    """The resource of the machine that an error shows to be missing, with the fix; None: no such
    error. Errors from a loader's process, whose text is their traceback, count."""
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE) or 'Too many open files' in text:
        return (
            f'too many open files (limit: {limit_of_files()}); raise it with `ulimit -n 4096`, or '
            'use fewer loader workers (num_workers=0)'
        )
    if number == errno.EAGAIN or "can't start new thread" in text:
        return (
            'no more threads or processes may be started; raise the limit (`ulimit -u`, or the '
            "container's), or use fewer: OMP_NUM_THREADS=1, and loader workers num_workers=0"
        )
    if number == errno.ENOMEM or isinstance(error, MemoryError) or "can't allocate memory" in text:
        return 'out of memory; use a smaller batch, fewer loader workers, or a larger machine'
    if number in FULL and error.filename is None and error.strerror == os.strerror(number):
        return (  # of mmengine's copies of configs, or of a write after the file was opened
            f'{error.strerror}, in the current folder or that of temporary files, '
            f'{_temporary_folder()}; free some space, or name another one with TMPDIR'
        )
    if 'No usable temporary directory' in text:
        return (
            'No usable temporary directory found; free some space, or name a folder that you may '
            'write to with TMPDIR'
        )
    if text.startswith('DataLoader worker') and isinstance(error, RuntimeError):
        return (
            'a loader worker ended, killed or out of memory, shared memory or files (ulimit -n '
            f'{limit_of_files()}): {text}; use fewer workers, or none (num_workers=0)'
        )
    return None


def room_for(error: OSError) -> str:
    """The fix of an error of writing; '' if there is none to name."""
    if error.errno in FULL:
        return 'free some space on its disk, or write elsewhere'
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return 'choose a folder that you may write to'
    return ''


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written
        return os.environ.get('TMPDIR', '/tmp')
