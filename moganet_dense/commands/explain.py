import contextlib
import sys
from pathlib import Path

import click

from . import options


@click.command()
@options.model
@click.argument('image', type=click.Path())
@click.option('--weights', metavar='FILE', help='Path, URL or name; default: the published ones.')
@click.option('--out', type=click.Path(), metavar='DIR', help='Default: explained/IMAGE.')
@click.option('--class', 'name', metavar='NAME', help='Class to explain; default: the surest.')
@click.option(
    '--part',
    'parts',
    multiple=True,
    type=click.Choice(['pyramid', 'grad-cam', 'receptive-field', 'interactions']),
    help='Only this; may be repeated.',
)
@click.option(
    '--pairs', type=click.IntRange(1), default=16, show_default=True, help='Drawn for J(m).'
)
@click.option(
    '--contexts', type=click.IntRange(1), default=8, show_default=True, help='For each pair.'
)
@click.option('--seed', type=click.IntRange(0), default=0, show_default=True, help='Of the draws.')
@click.option('--device', help='As in PyTorch, cuda:1; default: the GPU if there is one.')
@options.trust
def command(model, image, weights, out, name, parts, pairs, contexts, seed, device) -> None:
    """Show why a model answers as it does about a picture.

    Feature pyramid, Grad-CAM, effective receptive field and, for classifiers, the multi-order
    interaction strength J(m). MODEL is a name of the zoo, or a config and --weights. Prints the
    path of explain.json, which lies beside the pictures.

    \b
    moganet-dense explain retinanet_moganet_s photo.jpg
    moganet-dense explain my_config.py photo.jpg --weights best.pth --part grad-cam --class cat
    """
    out = out or Path('explained', Path(image).stem)
    with contextlib.redirect_stdout(sys.stderr):  # what the toolboxes tell is no data
        from ..explain import Sampling, explain

        sampling = Sampling(pairs=pairs, contexts=contexts, seed=seed)
        report = explain(model, image, out, weights, name, parts, sampling, device)
    click.echo(report)
