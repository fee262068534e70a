"""Models as files that run without this package: ONNX and torch.export."""

import copy
import glob
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from ..config.model_files import CHECKPOINT_ENDINGS
from ..data.image_io import decode
from ..data.sources import find
from ..engine.job import Job
from ..inference.metainfo import Names, names_of, require_images_to_places
from ..runtime.notes import PIXELS, SIDE
from ..toolboxes.build import build
from ..toolboxes.load import adopt_gate, load
from ..toolboxes.model_form import switch
from ..utils.atomic import as_line, require_no_input, require_writable
from ..utils.errors import UserError, one_line
from ..utils.file_kinds import IMAGE, kind_of
from .agreement import compared
from .base import Graph
from .detectors import DetectionGraph, TwoStageGraph
from .dynamic_shapes import fix_bases
from .formats import (  # fmt: skip
    quantise,
    require,
    run_onnx,
    run_torch_export,
    write_onnx,
    write_torch_export,
)
from .graphs import graph_of
from .half_graph import to_half
from .metadata import cut_size, notes_of
from .parity import TOLERANCE, largest_difference, low_threshold
from .pose_graphs import AxisPoseGraph, PoseGraph
from .video_graph import VideoGraph, require_plain, video_notes

FORMATS = ('onnx', 'torch-export')
ENDINGS = dict(zip(FORMATS, ('.onnx', '.pt2'), strict=True))
INT8 = ('dynamic', 'static')
RANDOM_BASES = (
    'The head draws random bases for each image, so that its predictions vary; the file has one '
    'draw, seed 0'
)
SHAPES = ((2, 192, 256), (1, 224, 160))
"""Images, height and width that a file of free size is written and checked at."""
IMPORT_TORCHVISION = 'To load it, import torchvision first, which registers the box operators'
CLIPS = ((2, 64, 96), (1, 96, 64))
"""The same, of videos, whose frames are small."""
CONTRASTS = (1.0, 0.5, 0.25)
"""Standard deviations of the noise, in those of ImageNet's pixels, in the order of trying."""


def export(
    job: Job,
    checkpoint: str,
    out: str,
    form: str = 'onnx',
    shape: Sequence[int] | None = None,
    backbone: bool = False,
    int8: str | None = None,
    calibrate: str | None = None,
    fp16: bool = False,
) -> tuple[Path, float]:
    """Writes a model, fused and with its post-processing, as one file.

    Args:
        job: config and options.
        checkpoint: path, URL or name; it has to match the model in every key.
        out: file to write.
        form: one of FORMATS.
        shape: fixed height and width; None: dynamic.
        backbone: export only the backbone.
        int8: one of INT8: quantise an ONNX file.
        calibrate: folder of images for 'static'.
        fp16: let the network of an ONNX file compute in float16; inputs and outputs stay float32.

    Returns:
        the file, and its largest difference from PyTorch before it is quantised or converted.

    Raises:
        UserError: a mistake of the user, with its fix; or the outputs of the file differ from
            PyTorch. Then nothing is written.
    """
    target = Path(out)
    require_no_input(target, (job.config, checkpoint))
    require_writable(target, (ENDINGS[form],))
    require(form)
    images = _calibration(form, int8, calibrate)
    if fp16 and (form != 'onnx' or int8):
        raise UserError('--fp16 is for --format onnx, without --int8')
    _require_ending(target, form)
    cfg = job.read()
    if not backbone:
        require_images_to_places(cfg)
    adopt_gate(cfg, checkpoint, job.cfg_options)
    plain = build(cfg).eval()
    content = load(plain, checkpoint, deploy=True)
    is_video = cfg.default_scope == 'mmengine'
    if is_video:
        require_plain(int8, backbone, fp16)
    names = None if backbone or is_video else names_of(cfg, content, plain)
    if not backbone and fix_bases(plain):
        print_log(RANDOM_BASES, 'current')
    graph, fixed, notes = _graph_and_notes(cfg, plain, names, str(job.config), form, shape)
    notes |= dict(fp16=True) if fp16 else {}
    with as_line(target), _beside(target) as folder:
        temporary = Path(folder, f'temporary.{"onnx" if form == "onnx" else "pt2"}')
        error = _write_checked(graph, plain, form, fixed, notes, temporary)
        agreement = _halved(graph, notes['task'], fixed, temporary) if fp16 else None
        if int8:
            with one_line('the file cannot be quantised'):
                quantise(temporary, int8, images)
                run_onnx(temporary)(*_arrays(_trials(graph, fixed)[0]))
        os.replace(temporary, target)
    change = 'quantised' if int8 else 'converted to float16' if fp16 else None
    for line in _report(out, error, change, agreement):
        print_log(line, 'current')
    if form == 'torch-export' and isinstance(graph, DetectionGraph):
        print_log(IMPORT_TORCHVISION, 'current')
    return target, error


def _require_ending(target: Path, form: str) -> None:
    """Checks that the name of the file is not that of another kind of file."""
    own = ENDINGS[form]
    if target.suffix.lower() in {*ENDINGS.values(), *CHECKPOINT_ENDINGS, '.py'} - {own}:
        raise UserError(
            f'--out: expected a name that ends in {own} for --format {form}, found {target}'
        )


def _report(out: str, error: float, change: str | None, agreement: str | None) -> Iterator[str]:
    """Lines about the written file: its differences from PyTorch, and what float16 changed."""
    what = f'before it was {change} it differed' if change else 'it differs'
    yield f'Wrote {out}; {what} from PyTorch by at most {error:.1e}'
    if agreement:
        yield f'float16 compared with float32, on noise: {agreement}'


def _graph_and_notes(
    cfg: Config,
    plain: torch.nn.Module,
    names: Names | None,
    config: str,
    form: str,
    shape: Sequence[int] | None,
) -> tuple[Graph, tuple[int, int] | None, dict[str, Any]]:
    """The graph that is written, its fixed height and width if any, and its metadata."""
    model = copy.deepcopy(plain)
    if cfg.default_scope == 'mmengine':
        video = VideoGraph(model)
        fixed = _shape(cfg, video, form, shape)
        return video, fixed, video_notes(config, model, fixed)
    switch(model)
    graph = graph_of(model, names)
    fixed = _shape(cfg, graph, form, shape)
    return graph, fixed, notes_of(cfg, config, model, names, fixed)


def _beside(target: Path) -> tempfile.TemporaryDirectory:
    """A temporary folder on the disk of the output file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=target.parent, prefix=f'.{target.name}.')


def _write_checked(
    graph: Graph,
    plain: torch.nn.Module,
    form: str,
    shape: tuple[int, int] | None,
    notes: dict,
    temporary: Path,
) -> float:
    """Writes the temporary file and returns its largest difference from PyTorch."""
    trials = _trials(graph, shape)
    write = write_onnx if form == 'onnx' else write_torch_export
    with one_line(f'{type(graph).__name__[:-5]} cannot be written as {form}'):
        write(graph, trials[0], shape is not None, notes, temporary)
    run_temporary = run_onnx if form == 'onnx' else run_torch_export
    error = 0.0
    for inputs in trials:
        with low_threshold(graph, inputs) as score, one_line('the file cannot be run'):
            run = run_temporary(temporary, score)
            error = max(error, largest_difference(run, graph, plain, inputs))
    if not error <= TOLERANCE:
        raise UserError(
            f'the file differs from PyTorch by {error:.1e}, expected at most {TOLERANCE:.0e}; '
            'nothing was written'
        )
    return error


def _halved(graph: Graph, task: str, shape: tuple[int, int] | None, temporary: Path) -> str:
    """Converts the temporary file to float16, and compares it with itself before."""
    trials, found = _trials(graph, shape), []
    with low_threshold(graph, trials[0]) as score, one_line('the file cannot be converted'):
        single = run_onnx(temporary, score)
        to_half(temporary)
        half = run_onnx(temporary, score)
        found += [(single(*inputs), half(*inputs)) for inputs in map(_arrays, trials)]
    return compared(task, found)


def _arrays(inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    return [each.numpy() for each in inputs]


def _trials(graph: Graph, shape: tuple[int, int] | None) -> list[tuple[torch.Tensor, ...]]:
    """Noise of two sizes, or of two batch sizes if height and width are fixed.

    It has the contrast of images, and less if a detector returns NaN for it: the gates of a hardly
    trained backbone multiply large features block by block.
    """
    generator = torch.Generator().manual_seed(0)
    channels = next(m.in_channels for m in graph.modules() if isinstance(m, torch.nn.Conv2d))
    free = CLIPS if isinstance(graph, VideoGraph) else SHAPES
    shapes = free if shape is None else [(count, *shape) for count, *_ in SHAPES]
    noise = [torch.randn((count, channels, *size), generator=generator) for count, *size in shapes]
    for contrast in CONTRASTS:
        trials = [graph.examples(contrast * images) for images in noise]
        if not isinstance(graph, DetectionGraph) or all(map(graph.is_finite, trials)):
            return trials
    raise UserError(
        'the model returns scores that are not finite, or none, for images of noise, to which its '
        'file would be compared; nothing was written; train it for longer'
    )


def _shape(cfg, graph: Graph, form: str, shape: Sequence[int] | None) -> tuple[int, int] | None:
    """The fixed height and width."""
    if shape and (len(shape) != 2 or min(shape) < 32 or any(n % 32 for n in shape)):
        found = ' '.join(map(str, shape))
        raise UserError(f'--shape: expected height and width, multiples of 32, found {found}')
    if shape and (max(shape) > SIDE or math.prod(shape) > PIXELS):
        raise UserError(
            f'--shape: expected at most {SIDE} pixels on a side and {PIXELS} in all, found '
            f'{shape[0]} {shape[1]}'
        )
    own = None if isinstance(graph, VideoGraph) else cut_size(cfg)
    if own and shape and tuple(shape) != own:
        raise UserError(
            f'--shape: this config cuts images or people to {own[0]} {own[1]} (height, width), '
            f'found {shape[0]} {shape[1]}'
        )
    if form == 'torch-export' and isinstance(graph, (TwoStageGraph, VideoGraph)) and not shape:
        kind = 'videos' if isinstance(graph, VideoGraph) else 'a two-stage detector'
        raise UserError(
            f'torch.export needs a fixed size for {kind}; pass --shape H W, or use --format onnx'
        )
    if isinstance(graph, (PoseGraph, AxisPoseGraph)):
        return own
    return tuple(shape) if shape else None


def _calibration(form: str, int8: str | None, folder: str | None) -> list[Path]:
    """The images that calibrate ranges."""
    if int8 and form != 'onnx':
        raise UserError(f'--int8 is for --format onnx, found {form}')
    if (int8 == 'static') != (folder is not None):
        raise UserError(
            '--int8 static needs --calibrate DIR, a folder of images, and the other way round'
        )
    if folder is None:
        return []
    kind = kind_of(folder)
    if not glob.has_magic(folder) and kind not in ('a folder', IMAGE):
        raise UserError(f'--calibrate: expected a folder of images, found {kind}: {folder}')
    images = [Path(source.file) for source in find([folder]) if not source.is_video]
    if not images:
        raise UserError(f'--calibrate: no images in {folder}')
    readable = []
    for image in images:  # before the long calibration
        try:
            decode(image)
            readable.append(image)
        except UserError as error:
            print_log(f'skipped: {error}', 'current', logging.WARNING)
    if not readable:
        raise UserError(f'--calibrate: none of {len(images)} images in {folder} can be read')
    return readable
