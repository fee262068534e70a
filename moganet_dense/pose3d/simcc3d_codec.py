"""SimCC with depth: a keypoint as three distributions, over columns, rows and depths.

SimCC: Li et al., https://arxiv.org/abs/2107.03332. With depth: RTMW3D, Jiang et al.,
https://arxiv.org/abs/2407.08634.
"""

from typing import ClassVar

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class SimCC3DLabel(BaseKeypointCodec):
    """Turns keypoints with depths into soft labels of each axis, and back.

    A label is exp(-(bin - mu)^2 / (2 sigma^2)), with mu the coordinate in bins. Depth d, relative
    to the root and in metres, is at (d / depth_range + 1) / 2 of the depth axis.

    Args:
        input_size: width, height and depth of the input, in pixels; the last one is the number of
            depths before they are split.
        sigma: of the labels in bins, for each axis.
        depth_range: largest depth before or behind the root, in metres. Keypoints further away have
            no depth in training.
        simcc_split_ratio: bins of a pixel.
    """

    auxiliary_encode_keys = frozenset({'depths', 'depths_visible'})
    label_mapping_table: ClassVar[dict[str, str]] = dict(
        keypoint_x_labels='keypoint_x_labels',
        keypoint_y_labels='keypoint_y_labels',
        keypoint_z_labels='keypoint_z_labels',
        keypoint_weights='keypoint_weights',
        depth_weights='depth_weights',
    )

    def __init__(
        self,
        input_size: tuple[int, int, int],
        sigma: tuple[float, float, float] = (6.0, 6.0, 6.0),
        depth_range: float = 1.0,
        simcc_split_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        self.input_size, self.sigma = input_size, sigma
        self.depth_range, self.simcc_split_ratio = depth_range, simcc_split_ratio

    @property
    def bins(self) -> tuple[int, int, int]:
        """Number of bins of each axis."""
        width, height, depth = (round(s * self.simcc_split_ratio) for s in self.input_size)
        return width, height, depth

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        depths: np.ndarray | None = None,
        depths_visible: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Labels (N, K, bins) of each axis, and weights (N, K).

        Args:
            keypoints: (N, K, 2), in pixels of the input.
            keypoints_visible: (N, K); None: all are.
            depths: (N, K), relative to the root, in metres; None: of no keypoint, as in data
                without depth.
            depths_visible: (N, K); None: where the keypoint is visible.
        """
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        if depths is None:
            depths = np.zeros(keypoints.shape[:2], np.float32)
            depths_visible = np.zeros_like(keypoints_visible)
        if depths_visible is None:
            depths_visible = keypoints_visible
        places = [*np.moveaxis(keypoints, -1, 0), self._to_pixels(depths)]
        labels, inside = zip(*map(self._label, places, self.bins, self.sigma), strict=True)
        weights = keypoints_visible * inside[0] * inside[1]
        return dict(
            keypoint_x_labels=labels[0],
            keypoint_y_labels=labels[1],
            keypoint_z_labels=labels[2],
            keypoint_weights=weights.astype(np.float32),
            depth_weights=(depths_visible * inside[2]).astype(np.float32),
        )

    def decode(
        self, simcc_x: np.ndarray, simcc_y: np.ndarray, simcc_z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The most likely place of each keypoint.

        Args:
            simcc_x: (K, bins) of the columns, or (1, K, bins).
            simcc_y: (K, bins) of the rows.
            simcc_z: (K, bins) of the depths.

        Returns:
            (1, K, 3), x and y in pixels of the input and depth in metres; (1, K), the smaller peak
            of x and y.
        """
        axes = [a.reshape(-1, a.shape[-1]) for a in (simcc_x, simcc_y, simcc_z)]
        x, y, z = (a.argmax(-1) / self.simcc_split_ratio for a in axes)
        depths = (2 * z / self.input_size[2] - 1) * self.depth_range
        scores = np.minimum(axes[0].max(-1), axes[1].max(-1))
        return np.stack([x, y, depths], -1)[None].astype(np.float32), scores[None]

    def _to_pixels(self, depths: np.ndarray) -> np.ndarray:
        return (depths / self.depth_range + 1) / 2 * self.input_size[2]

    def _label(self, places: np.ndarray, bins: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Soft labels (N, K, bins), and which places (N, K) are on the axis."""
        mu = np.round(places * self.simcc_split_ratio)
        distance = np.arange(bins, dtype=np.float32) - mu[..., None]
        labels = np.exp(-(distance**2) / (2 * sigma**2)).astype(np.float32)
        return labels, (mu >= 0) & (mu < bins)
