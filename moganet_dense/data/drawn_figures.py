"""Articulated figures and hands: 3D keypoints of random poses, seen by a known camera.

Bodies have the 17 keypoints of Human3.6M in mmpose's order, hands the 21 of COCO-WholeBody. Axes
are the camera's: x right, y down, z away; metres. Nothing is taken from data: lengths of bones are
round numbers, and poses are random turns of each bone about its rest direction.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """Keypoints in an order in which parents come before children.

    Attributes:
        names: of the K keypoints.
        parents: of each keypoint but the first, which is the root and its own parent.
        bones: (K, 3), from the parent at rest.
        bend: standard deviation of each bone's turn, in radians.
        thickness: of the drawn bones, in metres.
        swaps: pairs of left and right.
        distance: of the root from the camera.
        reach: farthest that a keypoint comes from the root.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    bones: np.ndarray
    bend: float
    thickness: float
    swaps: tuple[tuple[int, int], ...]
    distance: float
    reach: float

    @property
    def links(self) -> list[tuple[int, int]]:
        """Pairs of keypoints that a bone connects."""
        return [(parent, k) for k, parent in enumerate(self.parents) if k]

    @property
    def flip_indices(self) -> list[int]:
        """Index of each keypoint in a mirrored image."""
        found = list(range(len(self.names)))
        for a, b in self.swaps:
            found[a], found[b] = b, a
        return found


def _body() -> Skeleton:
    rows = [  # name, parent, bone
        ('pelvis', 0, (0, 0, 0)),
        ('right_hip', 0, (-0.13, 0, 0)), ('right_knee', 1, (0, 0.44, 0)),
        ('right_ankle', 2, (0, 0.42, 0)),
        ('left_hip', 0, (0.13, 0, 0)), ('left_knee', 4, (0, 0.44, 0)),
        ('left_ankle', 5, (0, 0.42, 0)),
        ('spine', 0, (0, -0.24, 0)), ('thorax', 7, (0, -0.26, 0)), ('neck', 8, (0, -0.12, -0.03)),
        ('head', 9, (0, -0.12, 0)),
        ('left_shoulder', 8, (0.16, 0.02, 0)), ('left_elbow', 11, (0.1, 0.26, 0)),
        ('left_wrist', 12, (0, 0.25, 0)),
        ('right_shoulder', 8, (-0.16, 0.02, 0)), ('right_elbow', 14, (-0.1, 0.26, 0)),
        ('right_wrist', 15, (0, 0.25, 0)),
    ]  # fmt: skip
    names, parents, bones = zip(*rows, strict=True)
    swaps = ((1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13))
    return Skeleton(names, parents, np.array(bones), 0.5, 0.08, swaps, 4.0, 1.0)


def _hand() -> Skeleton:
    names, parents, bones = ['wrist'], [0], [(0.0, 0.0, 0.0)]
    fingers = [('thumb', -0.9, 0.04), ('index', -0.3, 0.09), ('middle', 0.0, 0.095),
               ('ring', 0.25, 0.09), ('pinky', 0.5, 0.085)]  # fmt: skip
    for finger, angle, palm in fingers:
        up = np.array([np.sin(angle), -np.cos(angle), 0.0])
        for index, length in enumerate((palm, 0.04, 0.028, 0.024)):
            parents.append(0 if index == 0 else len(names) - 1)
            names.append(f'{finger}_{index + 1}')
            bones.append(tuple(up * length))
    return Skeleton(tuple(names), tuple(parents), np.array(bones), 0.35, 0.014, (), 0.8, 0.2)


SKELETONS = dict(body=_body(), hand=_hand())
"""Kinds of figures."""

INTERHAND_ORDER = [1 + 4 * finger + k for finger in range(5) for k in (3, 2, 1, 0)] + [0]
"""Index in the drawn hand of each keypoint of a hand of InterHand2.6M: each finger from its tip,
then the wrist."""


def turn(vector: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) about an axis by its length in radians (Rodrigues' formula)."""
    return cv2.Rodrigues(np.asarray(vector, np.float64))[0]


def random_pose(
    skeleton: Skeleton, rng: np.random.Generator, yaw: float = np.pi, pitch: float = 0.2
) -> np.ndarray:
    """Keypoints (K, 3) of a random pose, relative to the root.

    Each bone turns with its parent and by a random rotation of its own; the whole figure turns
    about the vertical, and is tilted.

    Args:
        skeleton: of the figure; its ``bend`` is how far bones turn.
        rng: source of the pose.
        yaw: largest turn of the whole about the vertical, in radians.
        pitch: standard deviation of its tilt to the camera or away from it, in radians.
    """
    whole = turn((0, rng.uniform(-yaw, yaw), 0)) @ turn(rng.normal(0, 1, 3) * (pitch, 0, 0.2))
    turns, points = [whole], [np.zeros(3)]
    for parent, bone in zip(skeleton.parents[1:], skeleton.bones[1:], strict=True):
        turns.append(turns[parent] @ turn(rng.normal(0, skeleton.bend, 3)))
        points.append(points[parent] + turns[-1] @ bone)
    return np.array(points)


def project(points: np.ndarray, focal: float, center: float) -> np.ndarray:
    """Places (K, 2) in pixels of points (K, 3) before a pinhole camera."""
    return points[:, :2] * focal / points[:, 2:] + center


def focal_length(skeleton: Skeleton, size: int) -> float:
    """Focal length in pixels at which any pose fits into a square image of ``size`` pixels."""
    return 0.48 * size * (skeleton.distance - skeleton.reach) / skeleton.reach


def render(skeleton: Skeleton, points: np.ndarray, focal: float, size: int) -> np.ndarray:
    """A square image (size, size, 3), BGR, uint8, of a figure.

    Args:
        skeleton: of the figure.
        points: (K, 3) in the camera's coordinates.
        focal: focal length, in pixels.
        size: side of the image.
    """
    links = np.array(skeleton.links)
    colors = hues(len(skeleton.names))[links[:, 1]]
    return draw_bones(points[links], colors, skeleton, focal, size)


def draw_bones(
    bones: np.ndarray, colors: np.ndarray, skeleton: Skeleton, focal: float, size: int
) -> np.ndarray:
    """A square image (size, size, 3), BGR, uint8: bones from far to near, far ones darker.

    Args:
        bones: (N, 2, 3), the ends in the camera's coordinates.
        colors: (N, 3), BGR, of near bones.
        skeleton: its thickness; and its distance and reach, from which the darkness follows.
        focal: focal length, in pixels.
        size: side of the image.
    """
    image = np.full((size, size, 3), 24, np.uint8)
    depths = bones[..., 2].mean(1)
    for index in np.argsort(-depths, kind='stable'):
        near = np.clip((skeleton.distance - depths[index]) / skeleton.reach / 2 + 0.5, 0, 1)
        color = (colors[index] * (0.25 + 0.75 * near)).tolist()
        width = max(1, round(focal * skeleton.thickness / depths[index]))
        places = project(bones[index], focal, size / 2)
        ends = [tuple(int(v * 16) for v in place) for place in places]
        cv2.line(image, *ends, color, width, cv2.LINE_AA, shift=4)
    return image


def hues(count: int, saturation: int = 160) -> np.ndarray:
    """Bright colours: (count, 3), BGR."""
    hsv = np.array([[[180 * k // count, saturation, 255] for k in range(count)]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0].astype(float)
