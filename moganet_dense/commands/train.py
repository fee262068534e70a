import click

from . import options


@click.command()
@options.job
@click.option('--from-scratch', is_flag=True, help='Train from scratch, without published weights.')
@click.option(
    '--resume',
    is_flag=False,
    flag_value='auto',
    metavar='[auto|PATH]',
    help='Continue from the last checkpoint of the work dir, or from PATH.',
)
@click.option(
    '--accept-changes',
    is_flag=True,
    help='Resume although the config differs from the saved training; the config applies.',
)
@click.option(
    '--skip-nonfinite',
    type=click.IntRange(0),
    default=0,
    metavar='N',
    help='Skip up to N consecutive batches with a non-finite loss; default: stop.',
)
@click.option(
    '--amp',
    type=click.Choice(options.OPTIONAL['--amp']),
    metavar='[bf16|fp16]',
    help='Automatic mixed precision: bf16 if the device supports it, else fp16.',
)
@click.option('--compile', is_flag=True, help='Compile the blocks of the backbone.')
@options.no_check
@options.channels_last
@click.option(
    '--auto-scale-lr',
    is_flag=True,
    help="Scale the learning rate by the real batch size over the config's.",
)
@click.option(
    '--fsdp',
    is_flag=True,
    help='Shard weights, gradients and optimizer state over the processes (FSDP).',
)
@click.option(
    '--tracker',
    'trackers',
    multiple=True,
    type=click.Choice(['wandb', 'mlflow']),
    help='Also log to this tracker; TensorBoard is always on.',
)
@options.trust
def command(config, work_dir, mini, cfg_options, launcher, from_scratch, no_check, **how) -> None:
    """Train a model of any task.

    CONFIG decides the task.

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
