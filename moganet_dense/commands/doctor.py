import click


@click.command()
def command() -> int:
    """Print the environment as seen, and mends; exit code 1: training cannot run."""
    from ..apis.doctor import examine

    return examine()
