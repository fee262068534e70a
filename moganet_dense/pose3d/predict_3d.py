"""3D poses of images, drawn from two views and written as JSON."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config

from ..data.given_sources import given_sources, require_other_file
from ..data.sources import Fault, Frame, frames
from ..results import Poses3D
from ..utils.atomic import as_line, write_text, write_whole
from ..utils.errors import UserError
from ..visualization.report_drawing import draw_skeletons
from ..visualization.skeletons_3d import draw_two_views
from .predictor_3d import load_predictor_3d

HEIGHT = 320
"""Of the drawn images, in pixels."""


def predict_3d(
    cfg: Config,
    checkpoint: str,
    inputs: Sequence[str],
    out: str | Path,
    device: str | torch.device = 'cpu',
    skip: Callable[[str], None] | None = None,
) -> list[Path]:
    """Finds the 3D pose of the figure in each image, see
    :class:`~moganet_dense.pose3d.predictor_3d.Predictor3D`.

    Args:
        cfg: a config whose head is a SimCC3DHead or an InternetHead.
        checkpoint: path, URL or name.
        inputs: images, folders, globs or videos.
        out: folder for ``NAME.png``, the image with its keypoints, and the pose from the front
            and from the side; and ``poses_3d.json``, by image: keypoints in pixels, and points in
            metres relative to the root (x right, y down, z away).
        device: where the model runs.
        skip: gets the reason why an image cannot be read, which is skipped. None: it raises.

    Returns:
        the files that were written.

    Raises:
        UserError: an image cannot be read, or a file not be written; what was found until then is
            written.
    """
    out = Path(out)
    sources = given_sources(inputs, out)
    predictor = load_predictor_3d(cfg, checkpoint, device)
    written: list[Path] = []
    poses: dict[str, Any] = {}
    target = out / 'poses_3d.json'
    try:
        for frame in frames(sources):
            if isinstance(frame, Fault):
                _refuse(frame.reason, skip)
                continue
            name = _name(frame)
            drawn = out / f'{name}.png'
            require_other_file(drawn, sources)
            found = predictor(frame.image)
            write_whole(drawn, _png(_drawn(frame.image, found)))
            written.append(drawn)
            poses[name] = _as_data(found)
    finally:
        if poses:
            with as_line(target):
                write_text(target, json.dumps(dict(names=predictor.layout.names, poses=poses)))
            written.append(target)
    return written


def _refuse(reason: str, skip: Callable[[str], None] | None) -> None:
    if skip is None:
        raise UserError(reason)
    skip(reason)


def _name(frame: Frame) -> str:
    name = frame.source.name
    return name if frame.index is None else f'{name}_{frame.index}'


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image)[1].tobytes()


def _as_data(found: Poses3D) -> dict[str, Any] | list[dict[str, Any]]:
    """For JSON: the pose of a figure; or a list of hands, each with ``hand``, 'right' or 'left'."""
    poses = [
        dict(keypoints=keypoints.tolist(), scores=scores.tolist(), points=points.tolist())
        for keypoints, scores, points in zip(
            found.keypoints, found.scores, found.points, strict=True
        )
    ]
    if found.sides is None:
        return poses[0]
    return [dict(hand=str(side), **pose) for side, pose in zip(found.sides, poses, strict=True)]


def _drawn(image: np.ndarray, found: Poses3D) -> np.ndarray:
    """The image with its keypoints, and the pose from two views: BGR."""
    factor = HEIGHT / image.shape[0]
    shown = cv2.resize(image[..., ::-1], (round(image.shape[1] * factor), HEIGHT))
    places = found.keypoints * factor
    shown = draw_skeletons(shown, places, np.ones(places.shape[:2], bool), found.skeleton)
    return np.hstack([shown, draw_two_views(found.points, found.skeleton, HEIGHT)])[..., ::-1]
