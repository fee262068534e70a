import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT]')
@options.out_file
@options.trust
def command(words, out) -> None:
    """Write the deploy form of a checkpoint.

    CONFIG is a path or a name of the zoo, CHECKPOINT a path, URL or such a name, which stands for
    the published weights; it has to fit the model key by key. Or a work dir in place of both. The
    file is for `test --deploy`; default: NAME_deployed.pth.

    \b
    moganet-dense deploy configs/det/retinanet_moganet_s.py CHECKPOINT --out deployed.pth
    moganet-dense deploy work_dirs/my_boxes
    """
    config, checkpoint, out = options.split_out(words, out, '_deployed.pth')
    from ..export.fused_checkpoint import deploy

    deploy(config, checkpoint, out)
