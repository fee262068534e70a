"""Errors of 3D poses, in millimetres.

MPJPE: mean distance of keypoints after both roots are moved to the origin. PA-MPJPE: after the
rotation, translation and scale that fit best (Procrustes alignment). Both as in Ionescu et al.,
Human3.6M, TPAMI 2014.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmpose.codecs.utils import camera_to_pixel
from mmpose.evaluation.metrics import InterHandMetric


def distances(prediction: np.ndarray, truth: np.ndarray, roots: Sequence[int] = (0,)) -> np.ndarray:
    """Distance of each keypoint after both roots are moved to the origin: (..., K, 3) to (..., K).

    The root is the mean of the keypoints ``roots``, for example of the hips. The unit is that of
    the poses.
    """
    roots = list(roots)
    offsets = (prediction - prediction[..., roots, :].mean(-2, keepdims=True)) - (
        truth - truth[..., roots, :].mean(-2, keepdims=True)
    )
    return np.linalg.norm(offsets, axis=-1)


def aligned(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``prediction`` (K, 3), rotated (not mirrored), scaled and translated to best fit ``truth``.

    With A, B the centred poses and U S V^T the singular value decomposition of A^T B: R = U D V^T,
    with D = diag(1, 1, det(U V^T)), and scale trace(S D) / trace(A^T A) (Umeyama, TPAMI 1991).
    """
    a, b = (pose - pose.mean(0) for pose in (prediction, truth))
    u, s, vt = np.linalg.svd(a.T @ b)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    size = (a**2).sum()
    scale = (s * signs).sum() / size if size else 1.0
    return scale * a @ (u * signs) @ vt + truth.mean(0)


def procrustes_distances(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each keypoint after alignment: (K, 3) to (K,)."""
    return np.linalg.norm(aligned(prediction, truth) - truth, axis=-1)


def to_camera(
    places: np.ndarray, depths: np.ndarray, focal: float, center: Sequence[float], root: float
) -> np.ndarray:
    """Points (K, 3) in metres, in the camera's coordinates: x right, y down, z away.

    Args:
        places: (K, 2), in pixels of the image.
        depths: (K,), relative to the root, in metres.
        focal: focal length in pixels.
        center: the principal point, in pixels.
        root: depth of the root, in metres.
    """
    z = root + depths
    return np.concatenate([(places - center) * z[:, None] / focal, z[:, None]], 1)


@METRICS.register_module()
class Pose3DMetric(BaseMetric):
    """MPJPE and PA-MPJPE, and the MPJPE of a pose without depth.

    The camera and the depth of the root are those of the truth, as is usual for poses relative to
    the root. ``flat_MPJPE`` is the error of the true 2D keypoints, all at the depth of the root: a
    baseline without depth.

    Args:
        roots: keypoints whose mean is the root.
        collect_device: 'cpu' or 'gpu': where processes gather their results.
        prefix: before each metric's name.
    """

    default_prefix = 'pose3d'

    def __init__(
        self,
        roots: Sequence[int] = (0,),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.roots = roots

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Computes the errors of a batch of figures.

        Args:
            data_batch: not used.
            data_samples: with pred_instances.keypoints (1, K, 3), and as meta keypoints_3d (K, 3)
                in metres, keypoints_2d (K, 2), focal, principal_pt and root_depth.
        """
        for sample in data_samples:
            truth, found = self.points(sample)
            flat = to_camera(
                np.asarray(sample['keypoints_2d']), np.zeros(len(truth)), sample['focal'],
                sample['principal_pt'], sample['root_depth'],
            )  # fmt: skip
            self.results.append(
                {
                    'MPJPE': 1000 * distances(found, truth, self.roots).mean(),
                    'PA-MPJPE': 1000 * procrustes_distances(found, truth).mean(),
                    'flat_MPJPE': 1000 * distances(flat, truth, self.roots).mean(),
                }
            )

    @staticmethod
    def points(sample: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """The true and the predicted pose of a figure, (K, 3) in metres, as the camera has them."""
        found = np.asarray(sample['pred_instances']['keypoints'])[0]
        camera = sample['focal'], sample['principal_pt'], sample['root_depth']
        return np.asarray(sample['keypoints_3d']), to_camera(found[:, :2], found[:, 2], *camera)

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """Means over the figures."""
        return {name: float(np.mean([row[name] for row in results])) for name in results[0]}


@METRICS.register_module()
class FlatInterHandMetric(InterHandMetric):
    """MPJPE and MRRPE of mmpose's InterHandMetric, of hands without depth.

    A baseline: the predictions are replaced by the true 2D keypoints, all of a hand at the depth of
    its root, and both roots at the same depth.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Adds a batch, as :class:`InterHandMetric` does; predicted keypoints are not read."""
        flat = []
        for sample in data_samples:
            focal, center = sample['focal'], sample['principal_pt']
            points = sample['gt_instances']['keypoints_cam']
            places = camera_to_pixel(points, *focal, *center, shift=True)
            keypoints = np.concatenate([places, np.zeros_like(places[..., :1])], -1)
            found = {**sample['pred_instances'], 'keypoints': keypoints, 'rel_root_depth': 0.0}
            flat.append({**sample, 'pred_instances': found})
        super().process(data_batch, flat)
