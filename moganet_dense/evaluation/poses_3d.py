"""3D poses: errors by keypoint, best and worst figures, as an :class:`Evaluation`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..visualization.skeletons_3d import draw_two_views
from .summary import KEPT, Evaluation, Extremes, Pair, Table

HEIGHT = 200
"""Of a drawn view, in pixels."""


class PosePair(NamedTuple):
    """A true and a predicted pose, (K, 3) each, the roots upon each other."""

    name: str
    truth: np.ndarray
    prediction: np.ndarray


class Pose3DRecord:
    """Adds up errors by keypoint; keeps the best and the worst poses.

    Args:
        names: of the K keypoints.
        links: pairs of keypoints that are connected.
        roots: keypoints whose mean is the root.
    """

    def __init__(
        self,
        names: Sequence[str],
        links: Sequence[tuple[int, int]],
        roots: Sequence[int] = (0,),
    ) -> None:
        self.names, self.links, self.roots = list(names), list(links), list(roots)
        self.rows: list[np.ndarray] = []
        self.extremes, self.first = Extremes(), []

    def add(self, name: str, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Takes the poses (K, 3) of a figure, in metres."""
        poses = PosePair(name, *(pose - pose[self.roots].mean(0) for pose in (truth, prediction)))
        errors = 1000 * (poses.prediction - poses.truth)
        self.rows.append(np.stack([np.linalg.norm(errors, axis=1), np.abs(errors[:, 2])]))
        self.extremes.offer(-float(self.rows[-1][0].mean()), lambda: poses)
        if len(self.first) < KEPT:
            self.first.append(poses)

    def merge(self, other: 'Pose3DRecord') -> None:
        """Takes over what another process gathered."""
        self.rows += other.rows
        self.extremes.merge(other.extremes)

    def evaluation(self, size: int) -> Evaluation:
        """The report's part, of the first ``size`` figures."""
        distances, depths = np.mean(self.rows[:size], axis=0)
        found = Evaluation('3D pose', ranking='minus MPJPE in mm; front and side')
        found.tables = [
            Table(
                'Error by keypoint, in mm',
                ['keypoint', 'distance', 'of it in depth'],
                [
                    [name, float(a), float(b)]
                    for name, a, b in zip(self.names, distances, depths, strict=True)
                ],
                'Means over the figures, after the roots are put upon each other.',
            )
        ]
        found.show(self.extremes, self._draw, self.first)
        return found

    def _draw(self, poses: PosePair) -> Pair:
        views = [draw_two_views([p], self.links, HEIGHT) for p in (poses.truth, poses.prediction)]
        return Pair(poses.name, *views)
