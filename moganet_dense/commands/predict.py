import contextlib
import sys
from pathlib import Path

import click

from . import options

WHOLE = 'whole'


@click.command()
@options.model
@click.argument('inputs', metavar='INPUT...', nargs=-1, required=True, type=click.Path())
@click.option('--weights', metavar='FILE', help='Path, URL or name; default: the published ones.')
@click.option(
    '--out', type=click.Path(), metavar='DIR', help='Default: predictions; with --json nowhere.'
)
@click.option('--json', is_flag=True, help='Print a line of JSON for every picture.')
@click.option('--score-thr', type=click.FloatRange(0, 1), default=0.3, show_default=True)
@click.option(
    '--boxes',
    metavar='DETECTOR|FILE|whole',
    help='Pose: where persons are: as a model finds them, as a COCO file lists them, or the '
    'whole picture is one.',
)
@click.option('--boxes-weights', metavar='FILE', help='Weights of that model.')
@click.option(
    '--boxes-thr',
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help='Score of the persons that count.',
)
@click.option('--batch-size', type=click.IntRange(1), default=1, show_default=True)
@click.option('--device', help='As in PyTorch, cuda:1; default: the GPU if there is one.')
@click.option('--deploy', is_flag=True, help='In the deploy form, which is faster.')
@click.option(
    '--runtime',
    type=click.Choice(['torch', 'onnx']),
    default='torch',
    show_default=True,
    help='onnx: MODEL, and a DETECTOR, are files that `export` wrote; torch is not needed.',
)
@options.trust
def command(
    model, inputs, weights, out, json, score_thr, boxes, boxes_weights, boxes_thr, batch_size,
    device, deploy, runtime,
) -> int:  # fmt: skip
    """Look at pictures and videos with a model.

    MODEL is a name of the zoo, or a config and --weights. INPUT are pictures, videos, folders,
    globs, or - for a list on standard input.

    DIR gets drawn pictures, and predictions.json in COCO's format (boxes, masks, joints); of a
    segmentation, labels/ (class indices), palette/ (their colours) and classes.json.

    Exit code 3: some files could not be read; they are named, the others are done.

    \b
    moganet-dense predict mask_rcnn_moganet_s photos/ --out found
    moganet-dense predict upernet_moganet_t street.mp4 --device cuda --deploy
    moganet-dense predict topdown_moganet_s_256x192 a.jpg --boxes retinanet_moganet_s
    moganet-dense predict retinanet.onnx photos/ --runtime onnx
    find . -name '*.png' | moganet-dense predict my_config.py - --weights best.pth --json
    """
    lines = sys.stdout if json else None
    folder = Path(out) if out else None if json else Path('predictions')
    with contextlib.redirect_stdout(sys.stderr):  # what the toolboxes tell is no data
        from ..apis.predict import predict

        load = _loader(runtime, device, deploy, weights or boxes_weights)
        predictor = load(model, weights)
        where = _boxes(predictor.task, boxes, boxes_weights, boxes_thr, batch_size, load)
        return predict(predictor, inputs, folder, lines, batch_size, score_thr, where)


def _loader(runtime, device, deploy, weights):
    """What makes a model of a name, or of a file of ONNX, and weights."""
    if runtime == 'onnx':
        from ..runtime import load

        if device or deploy or weights:
            raise click.UsageError('--runtime onnx takes no weights, --device or --deploy')
        return lambda file, _: load(file)
    from ..apis.inference import load_model

    return lambda name, weights: load_model(name, weights, device=device, deploy=deploy)


def _boxes(task, boxes, weights, score_thr, batch_size, load):
    """Where the persons are looked for; None for other tasks."""
    from ..apis.predict import DetectedBoxes, WrittenBoxes, whole_pictures

    if (task == 'pose') != (boxes is not None):
        what = 'needs' if boxes is None else 'takes no'
        raise click.UsageError(
            f'a model of {task} {what} --boxes: the name of a detector, a COCO file, or {WHOLE}'
        )
    if boxes in (None, WHOLE):
        return whole_pictures if boxes else None
    if boxes.endswith('.json'):
        return WrittenBoxes(boxes, score_thr)
    return DetectedBoxes(load(boxes, weights), score_thr, batch_size)
