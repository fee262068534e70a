import click

from . import options
from .bare import HELP, look


@click.command()
@options.model
@click.argument('inputs', metavar='INPUT...', nargs=-1, required=True, type=click.Path())
@click.option('--weights', metavar='FILE', help='Path, URL or name; default: the published ones.')
@click.option('--out', type=click.Path(), metavar='DIR', help=HELP['out'])
@click.option('--json', is_flag=True, help=HELP['json'])
@click.option(
    '--score-thr',
    type=options.Share(),
    default=0.3,
    show_default=True,
    help=HELP['score_thr'],
)
@click.option('--boxes', metavar='DETECTOR|FILE.json|whole', help=HELP['boxes'])
@click.option('--boxes-weights', metavar='FILE', help='Weights of that model.')
@click.option(
    '--boxes-thr',
    type=options.Share(),
    default=0.3,
    show_default=True,
    help=HELP['boxes_thr'],
)
@click.option('--boxes-class', metavar='NAME', help=HELP['boxes_class'])
@click.option(
    '--batch-size', type=click.IntRange(1), default=1, show_default=True, help=HELP['batch_size']
)
@click.option('--device', metavar='D', help=HELP['device'])
@click.option('--deploy', is_flag=True, help='In the deploy form, which is faster.')
@click.option('--threads', type=click.IntRange(1), metavar='N', help=HELP['threads'])
@click.option(
    '--runtime',
    type=click.Choice(['torch', 'onnx']),
    help='Default: onnx for a FILE.onnx that `export` wrote, which needs no torch; else torch.',
)
@options.trust
def command(
    model, inputs, weights, boxes, boxes_weights, device, deploy, threads, runtime, **rest
) -> int:
    """Look at pictures and videos with a model.

    MODEL is a name of the zoo, a config and --weights, or a FILE.onnx that `export` wrote. INPUT
    are pictures, videos, folders, globs, or - for a list on standard input.

    DIR gets drawn pictures, and predictions.json in COCO's format (boxes, masks, joints); of a
    segmentation, labels/ (class indices), palette/ (their colours) and classes.json.

    Exit code 3: some files could not be read; they are named, the others are done. 130:
    interrupted by Ctrl-C or SIGTERM; what was seen until then is written.

    \b
    moganet-dense predict mask_rcnn_moganet_s photos/ --out found
    moganet-dense predict upernet_moganet_t street.mp4 --device cuda --deploy
    moganet-dense predict topdown_moganet_s_256x192 a.jpg --boxes retinanet_moganet_s
    moganet-dense predict retinanet.onnx photos/ --threads 2
    find . -name '*.png' | moganet-dense predict my_config.py - --weights best.pth --json
    """

    if boxes_weights and (boxes is None or boxes == 'whole' or boxes.endswith('.json')):
        raise click.UsageError('--boxes-weights are those of a detector that --boxes names')

    def load(name, weights):
        if (runtime or _by_ending(name)) == 'onnx':
            return _exported(name, weights or deploy, threads, device)
        return _built(name, weights, threads, device, deploy)

    return look(
        lambda: load(model, weights),
        lambda: load(boxes, boxes_weights),
        inputs,
        boxes=boxes,
        **rest,
    )


def _by_ending(model):
    return 'onnx' if model.lower().endswith('.onnx') else 'torch'


def _exported(file, other, threads, device):
    """The model in a file of ONNX."""
    if other:
        raise click.UsageError(f'{file}: an exported file takes no weights and no --deploy')
    from ..runtime import load

    return load(file, threads, device)


def _built(name, weights, threads, device, deploy):
    """The model of a name or config."""
    if threads:
        raise click.UsageError('--threads is for exported files; for PyTorch: OMP_NUM_THREADS=N')
    from ..inference.predictor import load_model

    return load_model(name, weights, device=device, deploy=deploy)
