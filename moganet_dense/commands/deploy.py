import click

from . import options


@click.command()
@options.config
@options.checkpoint
@click.argument('out', type=click.Path())
@options.trust
def command(config, checkpoint, out) -> None:
    """Write the deploy form of a checkpoint.

    CONFIG is a path or a name of the zoo, CHECKPOINT a path, URL or such a name, which stands for
    the published weights; it has to fit the model key by key. OUT is for
    `test --deploy`.

    \b
    moganet-dense deploy configs/det/retinanet_moganet_s.py CHECKPOINT deployed.pth
    """
    from ..export.fused_checkpoint import deploy

    deploy(config, checkpoint, out)
