"""3D poses of two hands: errors by keypoint, best and worst images, as an :class:`Evaluation`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..visualization.skeletons_3d import draw_two_views
from .summary import KEPT, Evaluation, Extremes, Pair, Table

HEIGHT = 200
"""Of a drawn view, in pixels."""
KEYPOINTS = 21
"""Of a hand; those of the right one come first."""


class Hands(NamedTuple):
    """True and predicted poses: of each hand that is there, (21, 3), relative to the root of the
    first."""

    name: str
    truth: list[np.ndarray]
    prediction: list[np.ndarray]


class HandsRecord:
    """Adds up errors by keypoint; keeps the best and the worst images.

    Args:
        names: of the 42 keypoints.
        links: pairs of keypoints that are connected.
    """

    def __init__(self, names: Sequence[str], links: Sequence[tuple[int, int]]) -> None:
        self.names = list(names)
        self.links = [(a, b) for a, b in links if max(a, b) < KEYPOINTS]
        self.rows: list[np.ndarray] = []
        self.extremes, self.first = Extremes(), []

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Takes an image.

        Args:
            name: of the image.
            result: of mmpose's InterHandMetric: pred_coords and gt_coords (1, 42, 3), each hand
                relative to its root, in mm; mask (1, 42); pred_rel_root_coords and
                gt_rel_root_coords, from the right root to the left one.
        """
        mask = result['mask'][0]
        errors = np.where(mask[:, None], result['pred_coords'][0] - result['gt_coords'][0], np.nan)
        self.rows.append(np.stack([np.linalg.norm(errors, axis=1), np.abs(errors[:, 2])]))
        hands = Hands(name, *(_placed(result, which, mask) for which in ('gt', 'pred')))
        if hands.truth:
            self.extremes.offer(-float(np.nanmean(self.rows[-1][0])), lambda: hands)
            if len(self.first) < KEPT:
                self.first.append(hands)

    def merge(self, other: 'HandsRecord') -> None:
        """Takes over what another process gathered."""
        self.rows += other.rows
        self.extremes.merge(other.extremes)

    def evaluation(self, size: int) -> Evaluation:
        """The report's part, of the first ``size`` images."""
        errors = np.stack(self.rows[:size])
        counts = (~np.isnan(errors)).sum(0)
        means = np.where(counts, np.nansum(errors, 0) / np.maximum(counts, 1), np.nan)
        found = Evaluation('3D pose', ranking='minus MPJPE in mm; front and side')
        found.tables = [
            Table(
                'Error by keypoint, in mm',
                ['keypoint', 'distance', 'of it in depth'],
                [
                    [name, *(None if np.isnan(v) else float(v) for v in pair)]
                    for name, pair in zip(self.names, means.T, strict=True)
                ],
                'Means over the images, after the roots of each hand are put upon each other.',
            )
        ]
        found.show(self.extremes, self._draw, self.first)
        return found

    def _draw(self, hands: Hands) -> Pair:
        views = [draw_two_views(p, self.links, HEIGHT) for p in (hands.truth, hands.prediction)]
        return Pair(hands.name, *views)


def _placed(result: dict[str, Any], which: str, mask: np.ndarray) -> list[np.ndarray]:
    """The hands that are there, at their places."""
    hands = result[f'{which}_coords'][0].reshape(2, KEYPOINTS, 3)
    offset = np.asarray(result[f'{which}_rel_root_coords']).reshape(3)
    there = mask.reshape(2, KEYPOINTS).any(1)
    return [hand + k * offset for k, hand in enumerate(hands) if there[k]]
