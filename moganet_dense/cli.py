"""Command line: ``moganet-dense COMMAND``, ``python -m moganet_dense COMMAND``, and tools/.

Exit codes: 0 done; 1 error, the message shows the fix (for ``check`` and ``doctor``:
errors found); 2 wrong usage; 3 done, but some files could not be read (``predict``); 75 training
was stopped by SIGTERM or Ctrl-C and saved, and the same command with ``--resume`` goes on; 130
interrupted: training without saving (a second Ctrl-C), ``predict`` with what it saw until then;
141 who read the output has left.

Shells complete commands, options and names of models after ``docs/use.md``'s line for them.
"""

import os
import sys
from collections.abc import Callable, Sequence

from .commands.group import COMMANDS as COMMANDS
from .commands.group import MEND, run
from .commands.group import commands as commands
from .utils.errors import INTERRUPTED, Interrupted, Stopped, UserError, WrongUsage
from .utils.printable import printable, printable_lines, printable_logs
from .utils.toolbox_noise import without_toolbox_noise

PIPE = 141  # 128 and the number of SIGPIPE, as shells have it

TRACEBACK = 'MOGANET_TRACEBACK'
"""Environment variable that shows where an error came from."""


def main(argv: Sequence[str] | None = None, run: Callable[[Sequence[str]], int] = run) -> int:
    """Runs a command; returns the exit code.

    Args:
        argv: the command and its arguments; None: those that Python was started with.
        run: what reads them.

    Raises:
        UserError: the user's mistake, which else is printed, if MOGANET_TRACEBACK is set.
        ModuleNotFoundError: the same of a package that is not installed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with printable_logs(), without_toolbox_noise():
            return run(arguments)
    except (Stopped, Interrupted) as stopped:  # which has been said
        return stopped.code
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read what is printed, `head` for example, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE
    except UserError as error:
        if os.environ.get(TRACEBACK):
            raise
        rank, told = os.environ.get('RANK', '0'), f'error: {printable_lines(error)}'
        print(f'rank {rank}: {told}' if rank != '0' else told, file=sys.stderr)
        return 2 if isinstance(error, WrongUsage) else 1
    except ModuleNotFoundError as error:
        if os.environ.get(TRACEBACK) or (error.name or '').startswith('moganet_dense'):
            raise
        print(
            f'error: this needs {printable(error.name)}, which is not installed; {MEND}',
            file=sys.stderr,
        )
        return 1
