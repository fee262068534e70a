import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from . import options
from .predict_checks import require_effect, require_effect_of_runtime, require_effect_on_task

OVERLAP = 0.2
"""Of neighbouring tiles, as a share of their size."""


@click.command()
@options.words('CONFIG [CHECKPOINT] INPUT...')
@options.weights
@click.option(
    '--out',
    '--out-dir',
    metavar='DIR',
    help='Output folder; default: predictions; none with --json.',
)
@click.option('--json', is_flag=True, help='Print one line of JSON per image.')
@click.option(
    '--score-thr',
    '--conf',
    type=options.Share(),
    default=0.3,
    show_default=True,
    help='Score threshold for drawing and writing.',
)
@click.option('--classes', metavar='NAME,NAME', help='Keep only objects of these classes.')
@click.option('--track', is_flag=True, help='Track the objects of a video with ByteTrack.')
@click.option(
    '--tile',
    type=click.IntRange(64),
    metavar='PIXELS',
    help='Run the model on tiles of a large image, and merge the results.',
)
@click.option(
    '--overlap',
    type=click.FloatRange(0, 0.9),
    help=f'Overlap of neighbouring tiles, as a share of their size.  [default: {OVERLAP}]',
)
@click.option(
    '--format',
    'formats',
    multiple=True,
    type=click.Choice(['coco', 'csv', 'yolo', 'labelme']),
    help='Output format, in addition to drawn images; may be repeated. Default: coco.',
)
@click.option(
    '--masks',
    type=click.Choice(['rle', 'polygons']),
    default='rle',
    show_default=True,
    help='Format of masks in predictions.json.',
)
@click.option(
    '--allow-private',
    is_flag=True,
    help='Allow URLs in private networks, and http.',
)
@click.option(
    '--boxes',
    metavar='DETECTOR|FILE.json|whole',
    help='Keypoints: source of the boxes: a detector, a COCO file, or `whole` if each image shows '
    'one person or object.',
)
@click.option('--boxes-weights', metavar='FILE', help='Weights of that detector.')
@click.option(
    '--boxes-thr',
    type=options.Share(),
    default=0.3,
    show_default=True,
    help='Score threshold for these boxes.',
)
@click.option(
    '--boxes-class',
    metavar='NAME',
    help='Class of these boxes; default: person, or the only class.',
)
@click.option(
    '--batch-size',
    '--batch',
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help='Batch size: images, or boxes for keypoints.',
)
@click.option('--device', metavar='D', help='cuda, cuda:1 or cpu; default: the GPU if available.')
@click.option(
    '--deploy', is_flag=True, help='Use the fused (re-parameterised) model, which is faster.'
)
@options.channels_last
@options.no_cuda_graphs
@click.option(
    '--threads',
    type=click.IntRange(1, 256),
    metavar='N',
    help='CPU threads for an exported file; default: one per core.',
)
@click.option(
    '--runtime',
    type=click.Choice(['torch', 'onnx']),
    help='Default: onnx for a FILE.onnx, which needs no torch; else torch.',
)
@options.trust
def command(**given) -> int:
    """Run a model on images and videos.

    CONFIG is a path or a model name from the zoo, used with its published weights if no
    CHECKPOINT is given; or a work dir in place of both; or a FILE.onnx written by `export`.
    INPUT are images, videos, folders, globs, or - for a list on standard input.

    Writes to the output folder: drawn images, and predictions.json in COCO format (boxes, masks,
    keypoints); for segmentation labels/ (class indices), palette/ (their colours) and
    classes.json; for video prediction a sheet of frames and a video; for 3D poses
    poses_3d.json.

    Exit code 3: some files were skipped; each is named. 130: interrupted by Ctrl-C or SIGTERM;
    the results so far are written.

    \b
    moganet-dense predict mask_rcnn_moganet_s photos/ --out found
    moganet-dense predict my_config.py best.pth photos/ --device cuda --deploy
    moganet-dense predict work_dirs/my_boxes street.mp4
    moganet-dense predict topdown_moganet_s_256x192 a.jpg --boxes retinanet_moganet_s
    moganet-dense predict retinanet.onnx photos/ --threads 2
    find . -name '*.png' | moganet-dense predict retinanet_moganet_s - --json
    """
    from ..utils.atomic import require_folder

    given = Given(**given)
    require_effect(given)
    if given.folder:
        require_folder('--out', given.folder)
    model, weights, inputs = _split(given.words, given.weights)
    require_effect_of_runtime(given, model)
    if given.runtime_of(model) == 'torch' and (own := _own_predictor(model)):
        _require_common_options()
        with options.quietly():
            return _predict_by(own, model, weights, inputs, given.folder, given.device)
    lines = sys.stdout if given.json else None
    quietly = options.quietly if given.runtime_of(model) == 'torch' else contextlib.redirect_stdout
    with quietly(sys.stderr):
        return _predict(given, model, weights, inputs, lines)


@dataclass(frozen=True)
class Given:
    """The arguments and options above, by their names."""

    words: Sequence[str]
    weights: str | None
    out: str | None
    json: bool
    score_thr: float
    classes: str | None
    formats: Sequence[str]
    masks: str
    track: bool
    tile: int | None
    overlap: float | None
    allow_private: bool
    boxes: str | None
    boxes_weights: str | None
    boxes_thr: float
    boxes_class: str | None
    batch_size: int
    device: str | None
    deploy: bool
    channels_last: bool | None
    no_cuda_graphs: bool
    threads: int | None
    runtime: str | None

    @property
    def folder(self):
        """The output folder, or None."""
        return self.out or (None if self.json else 'predictions')

    @property
    def has_detector(self):
        """Whether --boxes names a detector."""
        from ..inference.person_boxes import WHOLE, is_file_of_boxes

        return self.boxes not in (None, WHOLE) and not is_file_of_boxes(self.boxes)

    def runtime_of(self, model):
        return self.runtime or _by_ending(model)

    def load(self, model, weights):
        if self.runtime_of(model) == 'onnx':
            return _exported(model, weights or self.deploy, self.threads, self.device)
        graphs = not self.no_cuda_graphs
        how = dict(deploy=self.deploy, channels_last=self.channels_last, cuda_graphs=graphs)
        return _built(model, weights, self.threads, self.device, how)


def _predict(given, model, weights, inputs, lines):
    """Predicts with the model of an image task."""
    from ..inference.person_boxes import people
    from ..inference.predict import predict

    loaded = given.load(model, weights)
    require_effect_on_task(given, loaded.task, given.runtime_of(model) == 'onnx')
    if given.tile:
        from ..inference.tiling import Tiled

        loaded = Tiled(loaded, given.tile, OVERLAP if given.overlap is None else given.overlap)
    boxes = people(
        loaded.task,
        given.boxes,
        given.boxes_thr,
        given.batch_size,
        lambda: given.load(given.boxes, given.boxes_weights),
        given.boxes_class,
    )
    return predict(
        loaded,
        inputs,
        Path(given.folder) if given.folder else None,
        lines,
        given.batch_size,
        given.score_thr,
        boxes,
        classes=[name.strip() for name in (given.classes or '').split(',') if name.strip()],
        track=given.track,
        formats=given.formats or ('coco',),
        outlines=given.masks == 'polygons',
        allow_private=given.allow_private,
    )


def _split(words, weights):
    """Model, weights or None, and inputs."""
    if _by_ending(words[0]) == 'onnx':
        model, inputs = words[0], list(words[1:])
    else:
        model, weights, inputs = options.split_words(words, weights)
    if not inputs:
        raise click.UsageError('expected INPUT: images, videos, folders, globs or -; found none')
    return model, weights, inputs


def _by_ending(model):
    return 'onnx' if model.lower().endswith('.onnx') else 'torch'


def _own_predictor(model):
    """The predictor of a config, model name or work dir of videos or 3D poses; else None."""
    from ..config.metafiles import find
    from ..config.model_files import saved_config
    from ..config.reading import finds_poses_in_space, read_config

    if entry := find(model):
        model = entry['Config']
    elif Path(model).is_dir():
        model = saved_config(model)
    elif not model.endswith('.py'):
        return None  # load_model raises the error
    cfg = read_config(model)
    if cfg.default_scope == 'mmengine':
        from ..video.next_frames import predict_videos

        return predict_videos
    if finds_poses_in_space(cfg):
        from ..pose3d.predict_3d import predict_3d

        return predict_3d
    return None


def _require_common_options():
    """Rejects options that the predictors of videos and of 3D poses do not have."""
    params = click.get_current_context().command.params
    names = {str(option.name) for option in params if isinstance(option, click.Option)}
    if others := options.given(*sorted(names - set(COMMON))):
        raise click.UsageError(f'{others[0]} is not available for video prediction and 3D poses')


COMMON = ('out', 'weights', 'device', 'runtime', 'trust_checkpoint')
"""Options of all predictors."""


def _predict_by(predictor, model, weights, inputs, out, device):
    """Predicts, and prints the files that were written."""
    from ..config.metafiles import published
    from ..config.model_files import saved_checkpoint, saved_config
    from ..config.reading import read_config
    from ..inference.predict import SKIPPED
    from ..utils.printable import printable

    if Path(model).is_dir():
        model, weights = saved_config(model), weights or saved_checkpoint(model)
    cfg, weights = read_config(model), str(weights or published(model))
    skipped = []

    def skip(reason):
        skipped.append(reason)
        click.echo(f'skipped: {printable(reason)}', err=True)

    for path in predictor(cfg, weights, inputs, out, device or 'cpu', skip):
        click.echo(printable(path))
    return SKIPPED if skipped else 0


def _exported(file, other, threads, device):
    """The model of an ONNX file."""
    if other:
        raise click.UsageError(f'{file}: an exported file takes no CHECKPOINT and no --deploy')
    from ..runtime import load

    return load(file, threads, device)


def _built(name, weights, threads, device, how):
    """The model of a name, config or work dir."""
    if threads:
        raise click.UsageError('--threads is for exported files; for PyTorch: OMP_NUM_THREADS=N')
    from ..inference.predictor import load_model

    return load_model(name, weights, device=device, **how)
