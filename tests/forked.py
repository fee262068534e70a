"""Commands in processes forked from this one, which has done its imports: in a moment each, and
with other streams, limits and folders than this process."""

import faulthandler
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, 'out'), Path(folder, 'err')
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            _be_child(arguments, stdout, before, out, err)
        _, status = os.waitpid(child, 0)
        texts = [x.read_text(errors='replace') if x.exists() else '' for x in (out, err)]
        return Done(os.waitstatus_to_exitcode(status), *texts)


def _be_child(arguments: list[str], stdout: str, before: Callable, out: Path, err: Path) -> None:
    code = 70
    try:
        os.setpgrp()
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT), 2)
        if stdout == 'closed':
            os.close(1)
        elif stdout == 'left':
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, 1)
        else:
            path = out if stdout == 'kept' else Path('/dev/full')
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), 1)
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
