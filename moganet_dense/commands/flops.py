import json as to_json
import sys

import click

from . import options


@click.command()
@options.config
@click.option(
    '--shape',
    multiple=True,
    type=int,
    metavar='HEIGHT [WIDTH]',
    help='Size of the image or frames; default: the size that published tables of the task use.',
)
@options.json
def command(config, shape, json) -> None:
    """Count parameters and FLOPs of a model.

    \b
    moganet-dense flops configs/det/retinanet_moganet_s.py --shape 800 1280
    moganet-dense flops configs/seg/upernet_moganet_t.py --json
    """
    with options.quietly(sys.stderr):  # standard output has the result alone
        from ..toolboxes.flops import count, describe

        counted = count(config, list(shape) or None)
    click.echo(to_json.dumps(counted.content()) if json else describe(config, counted))
