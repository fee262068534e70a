import sys
from pathlib import Path

import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT] IMAGE')
@options.weights
@click.option('--out', type=click.Path(), metavar='DIR', help='Default: explained/IMAGE.')
@click.option(
    '--class', 'name', metavar='NAME', help='Class to explain; default: the most confident.'
)
@click.option(
    '--part',
    'parts',
    multiple=True,
    type=click.Choice(['pyramid', 'grad-cam', 'receptive-field', 'interactions']),
    help='Compute only this part; may be repeated.',
)
@click.option(
    '--pairs',
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help='Pixel pairs sampled for J(m).',
)
@click.option(
    '--contexts',
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help='Contexts sampled for each pair.',
)
@click.option(
    '--seed', type=click.IntRange(0), default=0, show_default=True, help='Seed of the sampling.'
)
@click.option('--device', help='PyTorch device such as cuda:1; default: the GPU if available.')
@options.trust
def command(words, weights, out, name, parts, pairs, contexts, seed, device) -> None:
    """Explain the prediction of a model for an image.

    Draws the feature pyramid, Grad-CAM, the effective receptive field and, for classifiers, the
    multi-order interaction strength J(m). CONFIG is a path or a model name from the zoo, used with
    its published weights if no CHECKPOINT is given; or a work dir in place of both. Prints the
    path of explain.json, which is written next to the images.

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
    sampled = options.given('pairs', 'contexts', 'seed')
    out = out or Path('explained', Path(image).stem)
    with options.quietly(sys.stderr):  # standard output has the result alone
        from ..explain import Sampling, explain

        sampling = Sampling(pairs=pairs, contexts=contexts, seed=seed) if sampled else None
        report = explain(model, image, out, weights, name, parts, sampling, device)
    click.echo(report)
