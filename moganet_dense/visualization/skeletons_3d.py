"""3D skeletons, drawn as they look from the front and from the side."""

from collections.abc import Sequence

import cv2
import numpy as np

from .report_drawing import color, write_caption

MARGIN = 0.12
"""Part of a view that stays free on each side."""

VIEWS = dict(front=(0, 1), side=(2, 1))
"""Axes to the right and down, of x right, y down, z away. From the side, what is near is left."""


def draw_two_views(
    poses: Sequence[np.ndarray], links: Sequence[tuple[int, int]], height: int
) -> np.ndarray:
    """Poses from the front and from the side, as one RGB image (height, 2 height, 3).

    Both views have one scale, which fits all poses. Front is as the camera sees it, without
    perspective.

    Args:
        poses: each (K, 3): x right, y down, z away, in any unit; none: empty views.
        links: pairs of keypoints that are connected.
        height: of the image, in pixels.
    """
    points = np.concatenate([*poses, *[np.zeros((1, 3))] * (not len(poses))])
    low, high = points.min(0), points.max(0)
    scale = (1 - 2 * MARGIN) * height / max(float((high - low).max()), 1e-9)
    found = []
    for name, axes in VIEWS.items():
        image = np.full((height, height, 3), 255, np.uint8)
        for number, pose in enumerate(poses):
            places = (pose - (low + high) / 2)[:, axes] * scale + height / 2
            _draw(image, places, links, color(number))
        found.append(write_caption(image, name))
    return np.hstack(found)


def _draw(image: np.ndarray, places: np.ndarray, links: Sequence, hue: tuple) -> None:
    points = np.round(places).astype(int).tolist()
    for a, b in links:
        cv2.line(image, points[a], points[b], hue, 2, cv2.LINE_AA)
    for point in points:
        cv2.circle(image, point, 3, hue, -1, cv2.LINE_AA)
