import click


@click.command()
@click.argument('model')
@click.argument('image', type=click.Path())
@click.option('--weights', metavar='CHECKPOINT', help='Default: the published ones of MODEL.')
@click.option('--out', metavar='DIR', help='Default: explained/IMAGE.')
@click.option('--class', 'name', metavar='NAME', help='Class to explain; default: the surest.')
@click.option(
    '--part',
    'parts',
    multiple=True,
    type=click.Choice(['pyramid', 'grad-cam', 'receptive-field', 'interactions']),
    help='Only this; may be repeated.',
)
@click.option('--pairs', type=click.IntRange(1), default=16, show_default=True, help='Of J(m).')
@click.option('--contexts', type=click.IntRange(1), default=8, show_default=True, help='Of J(m).')
@click.option('--seed', type=int, default=0, show_default=True, help='Of J(m).')
@click.option('--device', help='Default: the GPU if there is one.')
def command(model, image, weights, out, name, parts, pairs, contexts, seed, device) -> None:
    """Show why a model answers as it does about a picture.

    Feature pyramid, Grad-CAM, effective receptive field and, for classifiers, the multi-order
    interaction strength J(m). MODEL is a name of the zoo or a config; docs/explain.md defines
    what is shown.

    \b
    moganet-dense explain retinanet_moganet_s photo.jpg
    moganet-dense explain configs/cls/moganet_t.py photo.jpg --weights CHECKPOINT --part grad-cam
    """
    from pathlib import Path

    from ..apis.explain import Sampling, explain

    out = out or Path('explained', Path(image).stem)
    sampling = Sampling(pairs=pairs, contexts=contexts, seed=seed)
    click.echo(explain(model, image, out, weights, name, parts, sampling, device))
