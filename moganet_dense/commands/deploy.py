import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT]')
@options.out_file
@options.trust
def command(words, out) -> None:
    """Write the fused (re-parameterised) model of a checkpoint.

    CONFIG is a path or a model name from the zoo. CHECKPOINT is a path, a URL or a model name
    (its published weights) and has to match the model in every key. Or pass a work dir in place
    of both. `test --deploy` reads the file. Default of --out: NAME_deployed.pth.

    \b
    moganet-dense deploy configs/det/retinanet_moganet_s.py CHECKPOINT --out deployed.pth
    moganet-dense deploy work_dirs/my_boxes
    """
    config, checkpoint, out = options.split_out(words, out, '_deployed.pth')
    from ..export.fused_checkpoint import deploy

    with options.quietly():
        deploy(config, checkpoint, out)
