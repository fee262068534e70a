import sys

import click

from . import options


@click.command()
@click.argument('config')
@click.option(
    '--arch',
    type=click.Choice(['xt', 't', 's', 'b', 'l', 'xl']),
    default='s',
    show_default=True,
    help='Size of MogaNet.',
)
@click.option('--out', metavar='FILE', help='Default: NAME_moganet_ARCH.py.')
@click.option('--no-trial', is_flag=True, help='Do not train a step on random images first.')
def command(config, arch, out, no_trial) -> None:
    """Write a toolbox's config with MogaNet as its backbone.

    CONFIG is a name of mmdet, mmseg, mmpose or mmpretrain, or the path of a config. Channels,
    published weights, normalisation, weight decay and, where the recipe has SGD, the optimizer
    are set; the file lists the changes and the reasons.

    \b
    moganet-dense adopt mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py
    moganet-dense adopt mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py --arch t
    """
    with options.quietly(sys.stderr):  # standard output has the result alone
        from ..adopt.adoption import adopt

        lines = list(adopt(config, arch, out, not no_trial))
    click.echo('\n'.join(lines))
