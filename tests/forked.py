"""Commands in processes forked from this one, which has done its imports: in a moment each, and
with other streams, limits and folders than this process."""

import faulthandler
import fcntl
import importlib
import os
import posix
import resource
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from moganet_dense.cli import main

LONG = 300
"""Seconds after which a command that hangs prints where, and ends."""


@dataclass
class Done:
    """What became of a command; ``code`` is minus the signal that ended it."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Lines on standard error that tell a mistake; a traceback is one, too."""
        return [x for x in self.err.splitlines() if 'error: ' in x or x.startswith('Traceback')]


def run_command(
    arguments: list[str],
    stdout: str = 'kept',
    before: Callable[[], object] = bool,
) -> Done:
    """Runs a command of the command line in a process of its own.

    Args:
        arguments: the command's.
        stdout: 'kept', 'closed', 'full' (/dev/full) or 'left' (a pipe that nobody reads).
        before: is called in that process first.
    """
    pipes = [_large_pipe() for _ in 'oe']
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _be_child(arguments, stdout, before, *(write for _, write in pipes))
    _, status = os.waitpid(child, 0)
    return Done(os.waitstatus_to_exitcode(status), *(_rest_of(*pipe) for pipe in pipes))


@contextmanager
def running(arguments: list[str], folder: Path, **environment: str) -> Iterator[IO[str]]:
    """A command in a process of its own, which is ended with the block; what it prints.

    Args:
        arguments: the command's.
        folder: in which it runs.
        environment: variables that it has, too.
    """

    def before() -> None:
        os.chdir(folder)
        os.environ.update(environment)
        tempfile.tempdir = None  # is read from the environment again

    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(read)
        _be_child(arguments, 'kept', before, write, os.open(os.devnull, os.O_WRONLY))
    os.close(write)
    with os.fdopen(read) as printed:
        try:
            yield printed
        finally:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def run_script(path: Path, *arguments: str, folder: Path | None = None) -> Done:
    """Runs ``main()`` of a script of the tests in a process of its own: as ``python path`` does,
    but for the seconds in which it would import the toolboxes.

    Args:
        path: of the script; modules beside it can be imported, too.
        arguments: what it finds in ``sys.argv``.
        folder: in which it runs; None: the current one.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        child = os.fork()
        if not child:
            _be_script(path, list(arguments), folder, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read())
    return Done(os.waitstatus_to_exitcode(status), *printed)


def _be_script(path: Path, arguments: list[str], folder: Path | None, out: int, err: int) -> None:
    code = 70
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout = sys.__stdout__ = os.fdopen(1, 'w', closefd=False)
        sys.stderr = sys.__stderr__ = os.fdopen(2, 'w', closefd=False)
        os.fsync = posix.fsync  # which the tests leave out
        warnings.simplefilter('default')  # those of the package are errors in tests
        os.chdir(folder or '.')
        sys.path.insert(0, str(path.parent))
        sys.argv = [str(path), *arguments]
        code = importlib.import_module(path.stem).main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))


def _large_pipe() -> tuple[int, int]:
    """A pipe that keeps what a command prints; a file would fall under the limits of files."""
    read, write = os.pipe()
    fcntl.fcntl(write, 1031, 1 << 20)  # F_SETPIPE_SZ
    return read, write


def _rest_of(read: int, write: int) -> str:
    os.close(write)
    os.set_blocking(read, False)  # a process that was left may hold its other end
    with os.fdopen(read, 'rb') as stream:
        return (stream.read() or b'').decode(errors='replace')


def _be_child(arguments: list[str], stdout: str, before: Callable, out: int, err: int) -> None:
    code = 70
    try:
        os.setpgrp()
        os.dup2(err, 2)
        if stdout == 'closed':
            os.close(1)
        elif stdout == 'left':
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, 1)
        else:
            os.dup2(out if stdout == 'kept' else os.open('/dev/full', os.O_WRONLY), 1)
        sys.stderr = sys.__stderr__ = os.fdopen(2, 'w', closefd=False)
        sys.stdout = sys.__stdout__ = (
            None if stdout == 'closed' else os.fdopen(1, 'w', closefd=False)  # as at Python's start
        )
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        faulthandler.dump_traceback_later(LONG, exit=True, file=2)
        before()
        code = main(arguments)
    except BaseException as error:
        code = error.code if isinstance(error, SystemExit) else 70
        if code == 70:
            traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


# --- limits, to call before the command


def of_files(number: int):
    def before() -> None:
        os.closerange(3, 1 << 16)  # those of the tests' process are not the command's
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))

    return before


def of_bytes(number: int):
    """No file may be larger: writes fail in their middle, as on a full disk."""

    def full() -> None:
        sys.dont_write_bytecode = True  # or modules imported now are cut off
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))

    return full


def no_threads() -> None:
    def start(self) -> None:
        raise RuntimeError("can't start new thread")

    threading.Thread.start = start
