"""Predicts the next frames of videos and writes them next to the true ones."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from ..config.frame_size import frame_size
from ..data.given_sources import given_sources, require_other_file
from ..data.sources import Fault, Frame, Source, frames
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

    A video may be a file or, as one clip, the images of one folder in the order of their names.
    Frames are converted to grey if the model has one channel, and resized to the size of the
    config's data.

    Args:
        cfg: a config of ``configs/video``.
        checkpoint: path, URL or name.
        inputs: videos, images, and folders and globs of them.
        out: folder for ``NAME.png``, rows of input frames, true frames (if the video has them) and
            predicted frames; and ``NAME.mp4``, the input frames followed by the predicted ones.
        device: device of the model.
        skip: gets the reason why a video cannot be read or is too short, which is skipped. None: it
            raises.

    Returns:
        the written files.

    Raises:
        UserError: a video cannot be read or is too short, or a file cannot be written.
    """
    sources = given_sources(inputs)
    model = build(cfg).eval()
    if not isinstance(model, SimVP):
        raise UserError(f'expected a config of video prediction, found {type(model).__name__}')
    load(model, checkpoint)
    _require_colours(model.to(device))
    written = []
    for clip in clips_of(sources):
        for file in _results(Path(out, clip.name)):
            require_other_file(file, sources)
        try:
            seen, fps = read_clip(clip, model, frame_size(cfg))
        except UserError as error:
            if skip is None:
                raise
            skip(str(error))
            continue
        given, truth = seen[: model.in_frames], seen[model.in_frames :][: model.out_frames]
        with torch.no_grad():
            predicted = model.predict(given[None].to(device))[0].cpu().clamp(0, 1)
        written += write(Path(out, clip.name), given, truth, predicted, fps)
    return written


def _results(name: Path) -> list[Path]:
    """The drawn frames, and the video."""
    return [name.with_name(name.name + suffix) for suffix in ('.png', '.mp4')]


@dataclass(frozen=True)
class Clip:
    """A video, or the images of a folder.

    Attributes:
        name: of its results.
        file: the video or folder, for messages.
        sources: the video, or the images in order.
    """

    name: str
    file: str
    sources: list[Source]


def clips_of(sources: Sequence[Source]) -> list[Clip]:
    """Each video, and the images of each folder, in the order of their first file."""
    clips: list[Clip] = []
    of_folder: dict[str, Clip] = {}
    for source in sources:
        if source.is_video or source.is_remote or source.is_stream:
            clips.append(Clip(_unique(source.name, clips), source.file, [source]))
            continue
        folder = os.path.dirname(os.path.abspath(source.file))
        if folder not in of_folder:
            name = _unique(os.path.basename(folder) or 'frames', clips)
            of_folder[folder] = Clip(name, os.path.dirname(source.file) or '.', [])
            clips.append(of_folder[folder])
        of_folder[folder].sources.append(source)
    return clips


def _unique(name: str, clips: Sequence[Clip]) -> str:
    taken, number, wanted = {clip.name for clip in clips}, 2, name
    while name in taken:
        name, number = f'{wanted}_{number}', number + 1
    return name


def _require_colours(model: SimVP) -> None:
    if model.channels not in (1, 3):
        raise UserError(
            f'videos have 1 or 3 channels, this model has {model.channels}, of data that are no '
            'images; measure it by `moganet-dense test`'
        )


def read_clip(clip: Clip, model: SimVP, size: tuple[int, int]) -> tuple[torch.Tensor, float]:
    """The first frames of a video, (T + T' at most, C, H, W) in [0, 1], and frames per second.

    Raises:
        UserError: it cannot be read, or has fewer frames than the model needs.
    """
    found, fps = [], 0.0
    for frame in _frames(clip):
        image = cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_AREA)
        grey = model.channels == 1
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if grey else cv2.COLOR_BGR2RGB)
        image = image[..., None] if grey else image
        found.append(image.transpose(2, 0, 1))
        fps = frame.fps or fps
        if len(found) == model.in_frames + model.out_frames:
            break
    if len(found) < model.in_frames:
        wanted = f'expected at least {model.in_frames} frames, found {len(found)}'
        raise UserError(f'{clip.file}: {wanted}')
    return torch.from_numpy(np.stack(found)) / 255, fps or 10.0


def _frames(clip: Clip) -> Iterator[Frame]:
    for frame in frames(clip.sources):
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
    drawn, video = _results(name)
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
