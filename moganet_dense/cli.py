"""Command line: ``moganet-dense COMMAND``, ``python -m moganet_dense COMMAND``, and tools/.

Exit codes: 0 success; 1 error, the message shows the fix (for ``check`` and ``doctor``:
errors found); 2 wrong usage; 3 success, but some files were skipped (``predict``); 75 training
was stopped by SIGTERM or Ctrl-C and saved, the same command with ``--resume`` continues; 130
interrupted: training without saving (a second Ctrl-C), ``predict`` with the results so far; 128 + N
stopped by signal N before anything was saved; 141 the reader of the output has exited.

For shell completion of commands, options and model names see ``docs/use.md``.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from .commands.group import COMMANDS as COMMANDS
from .commands.group import INSTALL_HINT, run
from .commands.group import commands as commands
from .utils.errors import (
    INTERRUPTED,
    Interrupted,
    Stopped,
    UserError,
    WrongUsage,
    reason_of,
    shortage,
)
from .utils.interrupts import ending_by_signals
from .utils.printable import printable, printable_lines, printable_logs
from .utils.streams import Descriptor, lasting_streams, loss_of
from .utils.toolbox_noise import without_toolbox_noise

PIPE = 141  # 128 + SIGPIPE, as in shells

TRACEBACK = 'MOGANET_TRACEBACK'
"""Environment variable that enables tracebacks."""


def main(argv: Sequence[str] | None = None, run: Callable[[Sequence[str]], int] = run) -> int:
    """Runs a command; returns the exit code.

    Args:
        argv: the command and its arguments; None: those of the process.
        run: the function that runs them.

    Raises:
        UserError: a mistake of the user, if MOGANET_TRACEBACK is set; else it is printed.
        ModuleNotFoundError: likewise, for a package that is not installed.
        OSError: likewise, for what the machine lacks or does not allow.
    """
    if argv is None:
        _use_utf8()
    arguments = list(sys.argv[1:] if argv is None else argv)
    with lasting_streams() as output:
        code = _coded(arguments, run, output)
    if output.failed is None or not output.needed:
        return code
    if output.failed.errno == errno.EPIPE:  # `head`, for example, has had enough
        return PIPE
    if not code:
        _say(loss_of(output))
    return code or 1


def _coded(
    arguments: Sequence[str], run: Callable[[Sequence[str]], int], output: Descriptor
) -> int:
    """The exit code of a command, whose errors are printed."""
    try:
        with ending_by_signals(), printable_logs(), without_toolbox_noise():
            return run(arguments)
    except (Stopped, Interrupted) as stopped:  # already reported
        return stopped.code
    except SystemExit:
        if output.failed is None:
            raise
        return 0  # click's own end where nobody reads; the code follows from the output
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        if os.environ.get(TRACEBACK):
            raise
        _say(printable_lines(error))
        return 2 if isinstance(error, WrongUsage) else 1
    except ModuleNotFoundError as error:
        if os.environ.get(TRACEBACK) or (error.name or '').startswith('moganet_dense'):
            raise
        _say(f'this needs {printable(error.name)}, which is not installed; {INSTALL_HINT}')
        return 1
    except (OSError, RuntimeError, MemoryError) as error:
        if error is output.failed:
            return 0  # is said where the code is known
        named = isinstance(error, OSError) or str(error).startswith('Symlink loop')  # of pathlib
        reason = shortage(error) or (reason_of(error) if named else None)
        if os.environ.get(TRACEBACK) or reason is None:
            raise
        _say(printable(reason))
        return 1


def _say(text: str) -> None:
    rank = os.environ.get('RANK', '0')
    print(f'rank {rank}: error: {text}' if rank != '0' else f'error: {text}', file=sys.stderr)


def _use_utf8() -> None:
    """Starts this program again in UTF-8 mode, where the locale has few characters: names of files
    and classes could not be written, and files would be read in its encoding."""
    if sys.getfilesystemencoding().lower() != 'utf-8' and not sys.flags.utf8_mode:
        os.environ['PYTHONUTF8'] = '1'
        os.execv(sys.executable, sys.orig_argv)
