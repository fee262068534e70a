"""Command line: ``moganet-dense COMMAND``, ``python -m moganet_dense COMMAND``, and tools/.

Exit codes: 0 done; 1 a mistake that the message says how to mend (for ``check`` and ``doctor``:
errors found); 2 wrong usage; 3 done, but some files could not be read (``predict``); 75 training
was stopped by SIGTERM or Ctrl-C and saved, and the same command with ``--resume`` goes on; 130
interrupted without saving (a second Ctrl-C).

Shells complete commands, options and names of models after ``docs/use.md``'s line for them.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from .commands.options import spread
from .errors import Stopped, UserError

COMMANDS = (
    'train',
    'test',
    'predict',
    'explain',
    'demo',
    'zoo',
    'check',
    'browse',
    'report',
    'deploy',
    'export',
    'flops',
    'benchmark',
    'doctor',
)
"""Modules of ``commands``, in the order of the help."""

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try again later
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it

TRACEBACK = 'MOGANET_TRACEBACK'
"""Environment variable that shows where an error came from."""


class Commands(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f'.commands.{name}', __package__).command
        command.name = name
        return command


@click.command(cls=Commands, context_settings=dict(help_option_names=['-h', '--help']))
@click.version_option(package_name='moganet_dense')
def commands() -> None:
    """Dense prediction with MogaNet.

    Exit codes: 0 done; 1 a mistake that the message says how to mend; 2 wrong usage; 3 done, but
    some files could not be read; 75 stopped and saved, go on with --resume; 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code.

    Raises:
        UserError: the user's mistake, which else is printed, if MOGANET_TRACEBACK is set.
        ModuleNotFoundError: the same of a package that is not installed.
    """
    arguments = spread(sys.argv[1:] if argv is None else argv)
    try:
        return commands.main(arguments, 'moganet-dense', standalone_mode=False) or 0
    except click.Abort:  # click's word for KeyboardInterrupt
        hint = '; go on with --resume' if 'train' in arguments[:1] else ''
        print(f'interrupted{hint}', file=sys.stderr)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except UserError as error:
        if os.environ.get(TRACEBACK):
            raise
        rank = os.environ.get('RANK', '0')
        print(f'rank {rank}: error: {error}' if rank != '0' else f'error: {error}', file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if os.environ.get(TRACEBACK) or (error.name or '').startswith('moganet_dense'):
            raise
        hint = '`moganet-dense doctor` tells how'
        print(f'error: this needs {error.name}, which is not installed; {hint}', file=sys.stderr)
        return 1
    except Stopped as stopped:
        if os.environ.get('RANK', '0') == '0':  # of several processes one speaks
            print(stopped, file=sys.stderr)
        return STOPPED
