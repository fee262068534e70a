import click

from . import options


@click.command()
@options.json
def command(json) -> int:
    """Print the environment as seen, and mends.

    Exit code 1: training cannot run.

    \b
    moganet-dense doctor
    moganet-dense doctor --json
    """
    from ..utils.doctor import examine

    return examine(json)
