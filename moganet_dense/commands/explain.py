import contextlib
import sys
from pathlib import Path

import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT] IMAGE')
@options.weights
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
def command(words, weights, out, name, parts, pairs, contexts, seed, device) -> None:
    """Show why a model answers as it does about an image.

    Feature pyramid, Grad-CAM, effective receptive field and, for classifiers, the multi-order
    interaction strength J(m). CONFIG is a path or a name of the zoo, whose published weights are
    used without CHECKPOINT; or a work dir in place of both. Prints the path of explain.json, which
    lies beside the images.

    \b
    moganet-dense explain retinanet_moganet_s photo.jpg
    moganet-dense explain my_config.py best.pth photo.jpg --part grad-cam --class cat
    """
    model, weights, rest = options.split_words(words, weights)
    if len(rest) == 2 and weights is None:  # a checkpoint of any name
        weights, *rest = rest
    if len(rest) != 1:
        raise click.UsageError(f'expected one IMAGE, found {len(rest)}: {" ".join(rest)}')
    (image,) = rest
    out = out or Path('explained', Path(image).stem)
    with contextlib.redirect_stdout(sys.stderr):  # what the toolboxes tell is no data
        from ..explain import Sampling, explain

        sampling = Sampling(pairs=pairs, contexts=contexts, seed=seed)
        report = explain(model, image, out, weights, name, parts, sampling, device)
    click.echo(report)
