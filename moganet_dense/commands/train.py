from dataclasses import fields

import click

from . import options


def training_options(command):
    """The options that change numbers of a config."""
    for option in reversed(
        [
            click.option('--epochs', type=click.IntRange(1), help='Length; schedules go along.'),
            click.option(
                '--batch-size',
                type=click.IntRange(1),
                help='Images on each process; rate, warm-up and iterations go along.',
            ),
            click.option(
                '--auto-batch',
                is_flag=True,
                help='The largest batch that fits the GPU; without one, as configured.',
            ),
            click.option('--img-size', type=click.IntRange(32), help='Longer side, in pixels.'),
            click.option('--lr', type=click.FloatRange(0, 1e3, min_open=True), help='The rate.'),
            click.option('--workers', type=click.IntRange(0, 1024), help='Loading processes.'),
            click.option(
                '--augment',
                type=click.Choice(['light', 'strong']),
                help='Augmentation for detection; strong: mosaic and mixup.',
            ),
            click.option(
                '--freeze',
                type=click.Choice(options.FREEZES),
                help='Do not train the stem, stages up to a number, or the backbone.',
            ),
            click.option('--seed', type=click.IntRange(0, 2**32 - 1), help='Of all randomness.'),
            click.option('--ema', is_flag=True, help='Keep a moving average of the weights.'),
            click.option(
                '--tta',
                is_flag=True,
                help='At the end, test the best checkpoint on flipped and scaled images, too.',
            ),
            click.option(
                '--patience',
                type=click.IntRange(1),
                metavar='N',
                help='End after N validations without a better metric.',
            ),
            options.device,
        ]
    ):
        command = option(command)
    return command


@click.command()
@options.job
@training_options
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
@options.verbose
@options.trust
def command(config, work_dir, mini, cfg_options, launcher, from_scratch, no_check, **how) -> None:
    """Train a model of any task.

    CONFIG decides the task.

    \b
    moganet-dense train configs/det/retinanet_moganet_s.py
    moganet-dense train mine.py --epochs 50 --batch-size 8 --img-size 640
    moganet-dense train configs/seg/upernet_moganet_t.py --mini --work-dir work
    moganet-dense train configs/det/retinanet_moganet_s.py --resume
    """
    from ..config.training_options import TrainingOptions
    from ..engine.job import Job
    from ..engine.train import train
    from ..utils.streams import run_without_output

    if how['accept_changes'] and how['resume'] is None:
        click.echo('--accept-changes has no effect without --resume', err=True)
    run_without_output()
    job = Job(config, work_dir, cfg_options, launcher, mini, from_scratch)
    changes = {field.name: how.pop(field.name) for field in fields(TrainingOptions)}
    train(job, check=not no_check, options=TrainingOptions(**changes), **how)
