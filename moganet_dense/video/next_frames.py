"""Predicts the next frames of videos and writes them next to the true ones."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from ..data.sources import Fault, find, frames, unique
from ..toolboxes.build import build
from ..toolboxes.load import load
from ..utils.atomic import write_whole
from ..utils.errors import UserError
from ..visualization.frame_sheets import frame_image, sheet
from ..writer import Video
from .simvp import SimVP

ENLARGED = 128  # least height of a drawn frame


def predict_videos(
    cfg: Config,
    checkpoint: str,
    inputs: Sequence[str],
    out: str | Path,
    device: str | torch.device = 'cpu',
    skip: Callable[[str], None] | None = None,
) -> list[Path]:
    """Predicts the frames after the first frames of each video.

    A video may be a file or, as one clip, the images of a folder in the order of their names.
    Frames are converted to grey if the model has one channel, and resized to the size of the
    config's data.

    Args:
        cfg: a config of ``configs/video``.
        checkpoint: path, URL or name.
        inputs: videos, or folders of images.
        out: folder for ``NAME.png``, rows of input frames, true frames (if the video has them) and
            predicted frames; and ``NAME.mp4``, the input frames followed by the predicted ones.
        device: device of the model.
        skip: called with the reason if a video cannot be read or is too short; None: that is an
            error.

    Returns:
        the written files.

    Raises:
        UserError: a video cannot be read or is too short, or a file cannot be written.
    """
    model = build(cfg).eval()
    if not isinstance(model, SimVP):
        raise UserError(f'expected a config of video prediction, found {type(model).__name__}')
    load(model, checkpoint)
    model.to(device)
    names: set[str] = set()
    written: list[Path] = []
    for source in inputs:
        try:
            clip, fps = read_clip(source, model, side(cfg))
        except UserError as error:
            if skip is None:
                raise
            skip(str(error))
            continue
        given, truth = clip[: model.in_frames], clip[model.in_frames :][: model.out_frames]
        with torch.no_grad():
            predicted = model.predict(given[None].to(device))[0].cpu().clamp(0, 1)
        names.add(name := unique(_name(source), names))
        written += write(Path(out, name), given, truth, predicted, fps)
    return written


def _name(source: str) -> str:
    """What the files of a video, a folder, a glob or a URL are called."""
    if os.path.exists(source):
        path = Path(os.path.abspath(source))
        return (path.name if path.is_dir() else path.stem) or 'clip'
    return next((found.name for found in find([source])), 'clip')


def side(cfg: Config) -> tuple[int, int]:
    """Height and width of the frames of a config's data set.

    Raises:
        UserError: an unsupported data set.
    """
    dataset = cfg.test_dataloader.dataset
    sizes = dict(MovingDigits=(64, 64), TaxiBJ=(32, 32), KittiCaltech=(128, 160))
    if dataset.type not in sizes:
        raise UserError(f'expected a data set of {", ".join(sizes)}, found {dataset.type}')
    size = cfg.train_dataloader.dataset.get('image_size')
    return (size, size) if size else sizes[dataset.type]


def read_clip(source: str, model: SimVP, size: tuple[int, int]) -> tuple[torch.Tensor, float]:
    """The first frames of a video, (T + T' at most, C, H, W) in [0, 1], and frames per second.

    Raises:
        UserError: it cannot be read, or has fewer frames than the model needs.
    """
    if model.channels not in (1, 3):
        raise UserError(f'videos have 1 or 3 channels, the model has {model.channels}')
    clip, fps = [], 0.0
    for frame in _frames(source):
        image = cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_AREA)
        grey = model.channels == 1
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if grey else cv2.COLOR_BGR2RGB)
        image = image[..., None] if grey else image
        clip.append(image.transpose(2, 0, 1))
        fps = frame.fps or fps
        if len(clip) == model.in_frames + model.out_frames:
            break
    if len(clip) < model.in_frames:
        raise UserError(f'{source}: expected at least {model.in_frames} frames, found {len(clip)}')
    return torch.from_numpy(np.stack(clip)) / 255, fps or 10.0


def _frames(source: str) -> Iterator:
    for frame in frames(find([source])):
        if isinstance(frame, Fault):
            raise UserError(frame.reason)
        yield frame


def write(
    name: Path, given: torch.Tensor, truth: torch.Tensor, predicted: torch.Tensor, fps: float
) -> list[Path]:
    """Writes ``name.png`` and ``name.mp4``; see :func:`predict_videos`.

    Raises:
        UserError: one of them cannot be written.
    """
    drawn, video = (name.with_name(f'{name.name}{ending}') for ending in ('.png', '.mp4'))
    rows = [[_bgr(frame) for frame in row] for row in (given, truth, predicted) if len(row)]
    _, content = cv2.imencode('.png', sheet(rows))
    write_whole(drawn, content.tobytes())
    images = [_bgr(frame) for frame in torch.cat([given, predicted])]
    writer = Video(video, fps, images[0].shape)
    for image in images:
        writer.add(image)
    writer.close()
    return [drawn, video]


def _bgr(frame: torch.Tensor) -> np.ndarray:
    """A frame in RGB, or grey, as OpenCV writes images."""
    return np.ascontiguousarray(frame_image(frame, ENLARGED)[..., ::-1])
