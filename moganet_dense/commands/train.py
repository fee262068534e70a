import click

from . import options


@click.command()
@options.job
@click.option('--from-scratch', is_flag=True, help='Without published weights.')
@click.option(
    '--resume',
    is_flag=False,
    flag_value='auto',
    metavar='[auto|PATH]',
    help='Go on from the last checkpoint of the work dir, or from PATH.',
)
@click.option(
    '--accept-changes',
    is_flag=True,
    help='Resume although the training differs from the one that was saved, as the config says.',
)
@click.option(
    '--skip-nonfinite',
    type=click.IntRange(0),
    default=0,
    metavar='N',
    help='Pass over up to N batches in a row whose loss is not finite; default: stop.',
)
@click.option(
    '--amp',
    type=click.Choice(options.OPTIONAL['--amp']),
    metavar='[bf16|fp16]',
    help='Automatic mixed precision: bf16 where the device has it, else fp16.',
)
@click.option('--compile', is_flag=True, help='Compile the blocks of the backbone.')
@options.no_check
@options.channels_last
@click.option(
    '--auto-scale-lr',
    is_flag=True,
    help="Scale the learning rate from the config's batch size to the real one.",
)
@click.option(
    '--fsdp',
    is_flag=True,
    help='Each process keeps a part of weights, gradients and optimizer; several processes.',
)
@click.option(
    '--tracker',
    'trackers',
    multiple=True,
    type=click.Choice(['wandb', 'mlflow']),
    help='Send curves and images there, too; TensorBoard has them always.',
)
@options.trust
def command(config, work_dir, mini, cfg_options, launcher, from_scratch, no_check, **how) -> None:
    """Train a model of any task.

    The task follows from CONFIG.

    \b
    moganet-dense train configs/det/retinanet_moganet_s.py
    moganet-dense train configs/seg/upernet_moganet_t.py --mini --work-dir work
    moganet-dense train configs/det/retinanet_moganet_s.py --resume
    """
    from ..engine.job import Job
    from ..engine.train import train

    train(
        Job(config, work_dir, cfg_options, launcher, mini, from_scratch), check=not no_check, **how
    )
