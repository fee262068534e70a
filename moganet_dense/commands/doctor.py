import click

from . import options


@click.command()
@options.json
@click.option('--fix', is_flag=True, help='Run the pip commands that fix the faults found.')
def command(json, fix) -> int:
    """Print the state of the environment, and the fix for each fault.

    Exit code 1: training cannot run.

    \b
    moganet-dense doctor
    moganet-dense doctor --json
    moganet-dense doctor --fix
    """
    from ..doctor import examine

    return examine(json, fix)
