import click

from . import options


@click.command()
@options.json
@click.option('--fix', is_flag=True, help='Run the pip commands that repair what was found.')
def command(json, fix) -> int:
    """Print the environment as seen, and what repairs it.

    Exit code 1: training cannot run.

    \b
    moganet-dense doctor
    moganet-dense doctor --json
    moganet-dense doctor --fix
    """
    from ..doctor import examine

    return examine(json, fix)
