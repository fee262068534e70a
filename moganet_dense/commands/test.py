from pathlib import Path

import click

from . import options


@click.command()
@options.job
@options.checkpoint
@click.option('--out', metavar='FILE', help='.pkl: predictions; .json: metrics.')
@click.option('--show-dir', metavar='DIR', help='Draw the predictions into DIR.')
@click.option('--deploy', is_flag=True, help='Use the fused model; CHECKPOINT may be fused or not.')
@click.option('--dtype', type=click.Choice(['fp32', 'bf16', 'fp16']), default='fp32')
@options.channels_last
@options.no_cuda_graphs
@click.option('--compile', is_flag=True, help='Compile the backbone.')
@click.option('--tta', is_flag=True, help='Average over flipped and scaled images.')
@options.device
@options.no_check
@options.verbose
@options.trust
def command(
    config,
    checkpoint,
    work_dir,
    mini,
    cfg_options,
    launcher,
    out,
    show_dir,
    deploy,
    dtype,
    channels_last,
    no_cuda_graphs,
    compile,
    tta,
    no_check,
    show_all,
) -> None:
    """Evaluate a checkpoint of any task.

    CONFIG is a path or a model name from the zoo. CHECKPOINT is a path, a URL or a model name
    (its published weights) and has to match the model in every key. A work dir in place of both
    is tested with its saved config and its best checkpoint, or else its last.

    \b
    moganet-dense test configs/det/retinanet_moganet_s.py CHECKPOINT --show-dir images
    moganet-dense test work_dirs/retinanet_moganet_s_mini
    moganet-dense test upernet_moganet_t --deploy --dtype bf16
    """
    from ..config.model_files import model_files
    from ..engine.job import Job
    from ..engine.train import test
    from ..toolboxes.model_form import Form
    from ..utils.streams import run_without_output

    folder = config if Path(config).is_dir() else None
    config, checkpoint = model_files(config, checkpoint)
    job = Job(config, work_dir, cfg_options, launcher, mini, saved_in=folder)
    form = Form(deploy, dtype, channels_last, compile, cuda_graphs=not no_cuda_graphs)
    how = dict(out=out, show_dir=show_dir, form=form, check=not no_check, show_all=show_all)
    how['tta'] = tta
    run_without_output()
    test(job, checkpoint, **how)
