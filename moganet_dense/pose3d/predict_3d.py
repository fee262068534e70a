"""3D poses of images, drawn from two views and written as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from ..data.sources import Fault, find, frames
from ..results import Poses3D
from ..toolboxes.build import build
from ..toolboxes.load import load
from ..utils.atomic import as_line, write_text
from ..utils.errors import UserError
from ..visualization.report_drawing import draw_skeletons
from ..visualization.skeletons_3d import draw_two_views
from .keypoint_layouts import Layout, layout_of

LEFT_OUT = ('LoadImage', 'GenerateTarget')
"""Transforms of a data set that an image in memory needs none of."""

HEIGHT = 320
"""Of the drawn images, in pixels."""


class Predictor3D:
    """Finds the 3D pose of a figure that fills an image.

    The camera is unknown: pixels are scaled so that bones have the lengths of the layout, and
    depths are the network's.

    Args:
        cfg: a config whose head is a SimCC3DHead.
        checkpoint: path, URL or name.
        device: where the model runs.
    """

    task = 'pose3d'

    def __init__(self, cfg: Config, checkpoint: str, device: str | torch.device = 'cpu') -> None:
        dataset = cfg.test_dataloader.dataset
        self.layout = layout_of(dataset)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            self.pipeline = Compose(
                [step for step in dataset.pipeline if step.type not in LEFT_OUT]
            )
        self.model = build(cfg).eval()
        load(self.model, checkpoint)
        self.model.to(device)

    def __call__(self, image: np.ndarray, order: str = 'bgr') -> Poses3D:
        """The pose.

        Args:
            image: (H, W, 3) uint8.
            order: of its channels, 'bgr' or 'rgb'.

        Returns:
            one pose; its box is the whole image.
        """
        height, width = image.shape[:2]
        keypoints, scores = self._keypoints(image if order == 'bgr' else image[..., ::-1])
        return Poses3D(
            keypoints=keypoints[None, :, :2],
            scores=scores[None].astype(np.float32),
            boxes=np.array([[0, 0, width, height]], np.float32),
            names=tuple(self.layout.names),
            skeleton=tuple(self.layout.links),
            category='figure',
            size=(height, width),
            points=to_metres(keypoints, self.layout)[None].astype(np.float32),
        )

    def _keypoints(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (K, 3) and scores (K,) of a whole image (H, W, 3), BGR."""
        height, width = image.shape[:2]
        box = np.array([[0, 0, width, height]], np.float32)
        side = np.full((1, 2), max(width, height), np.float32)
        sample = dict(
            img=image, img_path='', id=0, img_id=0, img_shape=(height, width),
            bbox=box, bbox_score=np.ones(1, np.float32), bbox_scale=side,
            bbox_center=np.array([[width / 2, height / 2]], np.float32),
            flip_indices=self.layout.flip_indices, keypoints_2d=None, keypoints_3d=None, focal=None,
            principal_pt=None, root_depth=None,
        )  # fmt: skip
        batch = self.model.data_preprocessor(pseudo_collate([self.pipeline(sample)]), False)
        with torch.no_grad():
            (found,) = self.model(**batch, mode='predict')
        return found.pred_instances.keypoints[0], found.pred_instances.keypoint_scores[0]


def predict_3d(
    cfg: Config,
    checkpoint: str,
    inputs: Sequence[str],
    out: str | Path,
    device: str | torch.device = 'cpu',
) -> list[Path]:
    """Finds the 3D pose of the figure in each image, see :class:`Predictor3D`.

    Args:
        cfg: a config whose head is a SimCC3DHead.
        checkpoint: path, URL or name.
        inputs: images, folders, globs or videos.
        out: folder for ``NAME.png``, the image with its keypoints, and the pose from the front
            and from the side; and ``poses_3d.json``, by image: keypoints in pixels, and points in
            metres relative to the root (x right, y down, z away).
        device: where the model runs.

    Returns:
        the files that were written.

    Raises:
        UserError: an image cannot be read, or a file not be written.
    """
    predictor = Predictor3D(cfg, checkpoint, device)
    written, poses, out = [], {}, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for frame in frames(find(inputs)):
        if isinstance(frame, Fault):
            raise UserError(frame.reason)
        name = frame.source.name if frame.index is None else f'{frame.source.name}_{frame.index}'
        found = predictor(frame.image)
        poses[name] = dict(
            keypoints=found.keypoints[0].tolist(), scores=found.scores[0].tolist(),
            points=found.points[0].tolist(),
        )  # fmt: skip
        written.append(out / f'{name}.png')
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(written[-1]), _drawn(frame.image, found)):
            raise UserError(f'{written[-1]} cannot be written')
    target = out / 'poses_3d.json'
    with as_line(target):
        write_text(target, json.dumps(dict(names=predictor.layout.names, poses=poses)))
    return [*written, target]


def to_metres(keypoints: np.ndarray, layout: Layout) -> np.ndarray:
    """Points (K, 3) relative to the root, in metres, without a camera.

    With pixel lengths p_b, depth differences d_b and lengths L_b of the bones, a pixel has
    sqrt(sum(max(L_b^2 - d_b^2, 0)) / sum(p_b^2)) metres.

    Args:
        keypoints: (K, 3), x and y in pixels, depth in metres.
        layout: of the keypoints.
    """
    ends = np.array(layout.bones)
    bones = keypoints[ends[:, 1]] - keypoints[ends[:, 0]]
    left = np.maximum(np.square(layout.lengths) - bones[:, 2] ** 2, 0).sum()
    scale = np.sqrt(left / max((bones[:, :2] ** 2).sum(), 1e-9))
    return (keypoints - keypoints[list(layout.roots)].mean(0)) * (scale, scale, 1)


def _drawn(image: np.ndarray, found: Poses3D) -> np.ndarray:
    """The image with its keypoints, and the pose from two views: BGR."""
    factor = HEIGHT / image.shape[0]
    shown = cv2.resize(image[..., ::-1], (round(image.shape[1] * factor), HEIGHT))
    places = found.keypoints * factor
    shown = draw_skeletons(shown, places, np.ones(places.shape[:2], bool), found.skeleton)
    return np.hstack([shown, draw_two_views(found.points, found.skeleton, HEIGHT)])[..., ::-1]
