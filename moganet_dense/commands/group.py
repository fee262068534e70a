"""The click group of all commands; the module of a command is imported when it is used."""

import importlib
from collections.abc import Sequence

import click

from ..utils.printable import printable
from .options import spread

COMMANDS = (
    'init',
    'adopt',
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
    'push',
    'flops',
    'doctor',
)
"""Modules of ``commands``, in the order of the help."""

INSTALL_HINT = '`moganet-dense doctor --fix` installs what is missing'
"""What to do about a package that is missing."""


class Commands(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f'.{name}', __package__).command
        command.name = name
        return command


@click.command(cls=Commands, context_settings=dict(help_option_names=['-h', '--help']))
@click.version_option(package_name='moganet_dense')
def commands() -> None:
    """Dense prediction with MogaNet.

    Exit codes: 0 success; 1 error, the message shows the fix; 2 wrong usage; 3 success, but some
    files were skipped; 75 stopped and saved, continue with --resume; 130 interrupted; 128 + N
    stopped by signal N (143: SIGTERM, 129: SIGHUP); 141 the reader of the output has exited.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs a command; returns its exit code. Raises KeyboardInterrupt after Ctrl-C."""
    try:
        return commands.main(spread(arguments), 'moganet-dense', standalone_mode=False) or 0
    except click.Abort as error:  # click's term, for an EOFError too, of a damaged module say
        if isinstance(error.__cause__, EOFError):
            raise error.__cause__ from None
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.message = printable(error.message)
        error.show()
        return error.exit_code
