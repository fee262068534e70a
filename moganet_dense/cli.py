"""Command line: ``moganet-dense COMMAND``, ``python -m moganet_dense COMMAND``, and tools/.

Exit codes: 0 success; 1 error, the message shows the fix (for ``check`` and ``doctor``:
errors found); 2 wrong usage; 3 success, but some files were skipped (``predict``); 75 training
was stopped by SIGTERM or Ctrl-C and saved, the same command with ``--resume`` continues; 130
interrupted: training without saving (a second Ctrl-C), ``predict`` with the results so far; 141 the
reader of the output has exited.

For shell completion of commands, options and model names see ``docs/use.md``.
"""

import os
import sys
from collections.abc import Callable, Sequence

from .commands.group import COMMANDS as COMMANDS
from .commands.group import INSTALL_HINT, run
from .commands.group import commands as commands
from .utils.errors import INTERRUPTED, Interrupted, Stopped, UserError, WrongUsage
from .utils.printable import printable, printable_lines, printable_logs
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
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with printable_logs(), without_toolbox_noise():
            return run(arguments)
    except (Stopped, Interrupted) as stopped:  # already reported
        return stopped.code
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE
    except UserError as error:
        if os.environ.get(TRACEBACK):
            raise
        rank, line = os.environ.get('RANK', '0'), f'error: {printable_lines(error)}'
        print(f'rank {rank}: {line}' if rank != '0' else line, file=sys.stderr)
        return 2 if isinstance(error, WrongUsage) else 1
    except ModuleNotFoundError as error:
        if os.environ.get(TRACEBACK) or (error.name or '').startswith('moganet_dense'):
            raise
        print(
            f'error: this needs {printable(error.name)}, which is not installed; {INSTALL_HINT}',
            file=sys.stderr,
        )
        return 1
