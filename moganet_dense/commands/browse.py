import click

from . import options


@click.command()
@options.config
@options.mini
@options.cfg_options
@click.option('--out', metavar='DIR', help='Default: browse, in the work dir.')
@click.option(
    '--number', type=click.IntRange(1), default=12, show_default=True, help='Number of samples.'
)
def command(config, mini, cfg_options, out, number) -> None:
    """Draw training samples after augmentation, with their targets.

    Writes one image per sample and a page that shows all of them: boxes, masks, label maps
    (ignored pixels are striped), keypoints with heatmaps, or classes.

    \b
    moganet-dense browse configs/det/mask_rcnn_moganet_t.py --mini
    """
    from ..engine.job import Job
    from ..report.browse import browse

    with options.quietly():
        page = browse(Job(config, mini=mini, cfg_options=cfg_options), number, out)
    click.echo(page)
