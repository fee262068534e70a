import click

from . import options


@click.command()
@options.config
@click.option(
    '--shape',
    multiple=True,
    type=int,
    metavar='HEIGHT [WIDTH]',
    help='Of the image; default: what published tables of the task use.',
)
def command(config, shape) -> None:
    """Count parameters and FLOPs of a model.

    \b
    moganet-dense flops configs/det/retinanet_moganet_s.py --shape 800 1280
    """
    from ..apis.flops import describe

    click.echo(describe(config, list(shape) or None))
