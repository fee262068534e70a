"""Finds 3D poses in images: of one figure, or of two hands."""

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from ..results import Poses3D
from ..toolboxes.build import build
from ..toolboxes.load import load
from .keypoint_layouts import Layout, layout_of

LEFT_OUT = ('LoadImage', 'GetBBoxCenterScale', 'GenerateTarget')
"""Transforms of a data set that are skipped for an image in memory."""

SIDES = ('right', 'left')
"""In the order of InterNet's outputs."""


class Predictor3D:
    """Finds the 3D pose of a figure that fills an image.

    The camera is unknown: x and y are pixels, scaled so that bones have the lengths of the layout;
    depths are the network's, in metres. See :func:`to_metres`.

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
        found = self._instances(image if order == 'bgr' else image[..., ::-1])
        keypoints, scores = found.keypoints[0], found.keypoint_scores[0]
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

    def _instances(self, image: np.ndarray) -> InstanceData:
        """What the model finds in a whole image (H, W, 3), BGR."""
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
        return found.pred_instances


class HandsPredictor3D(Predictor3D):
    """Finds the 3D poses of a right and a left hand that fill an image, by InterNet.

    Args:
        cfg: a config whose head is an InternetHead.
        checkpoint: path, URL or name.
        device: where the model runs.
    """

    def __call__(self, image: np.ndarray, order: str = 'bgr') -> Poses3D:
        """The poses of the hands that the model detects, the right one first.

        Args:
            image: (H, W, 3) uint8.
            order: of its channels, 'bgr' or 'rgb'.

        Returns:
            zero, one or two poses of 21 keypoints; points are relative to the root of the first,
            in metres. ``sides`` has 'right' or 'left' for each.
        """
        height, width = image.shape[:2]
        found = self._instances(image if order == 'bgr' else image[..., ::-1])
        hands = found.keypoints[0].reshape(2, 21, 3) * (1, 1, 1e-3)  # depths in metres
        hands[1, :, 2] += float(np.ravel(found.rel_root_depth)[0]) / 1000
        shown = np.ravel(found.hand_type).astype(bool)
        hands, scores = hands[shown], found.keypoint_scores[0].reshape(2, 21)[shown]
        return Poses3D(
            keypoints=hands[..., :2].astype(np.float32),
            scores=(scores / self.model.head.decoder.max_bound).clip(0, 1).astype(np.float32),
            boxes=np.tile(np.array([[0, 0, width, height]], np.float32), (len(hands), 1)),
            names=tuple(self.layout.names),
            skeleton=tuple(self.layout.links),
            category='hand',
            size=(height, width),
            points=to_metres(hands, self.layout).astype(np.float32),
            sides=np.array(SIDES)[shown],
        )


def load_predictor_3d(
    cfg: Config, checkpoint: str, device: str | torch.device = 'cpu'
) -> Predictor3D:
    """The predictor of a config for 3D poses: of hands for InterNet, else of one figure."""
    kind = HandsPredictor3D if cfg.model.head.type == 'InternetHead' else Predictor3D
    return kind(cfg, checkpoint, device)


def to_metres(keypoints: np.ndarray, layout: Layout) -> np.ndarray:
    """Points (..., K, 3) relative to the root of the first pose, in metres, without a camera.

    With pixel lengths p_b, depth differences d_b and lengths L_b of the bones, a pixel has
    sqrt(sum(max(L_b^2 - d_b^2, 0)) / sum(p_b^2)) metres.

    Args:
        keypoints: (K, 3), or poses of the same scale, (N, K, 3): x and y in pixels, depth in
            metres.
        layout: of the keypoints.

    Returns:
        points of the same shape.
    """
    if not keypoints.size:
        return keypoints
    ends = np.array(layout.bones)
    bones = keypoints[..., ends[:, 1], :] - keypoints[..., ends[:, 0], :]
    left = np.maximum(np.square(layout.lengths) - bones[..., 2] ** 2, 0).sum()
    scale = np.sqrt(left / max((bones[..., :2] ** 2).sum(), 1e-9))
    first = keypoints.reshape(-1, *keypoints.shape[-2:])[0]
    return (keypoints - first[list(layout.roots)].mean(0)) * (scale, scale, 1)
