"""Pairs of hands for ``--mini``, in the files of InterHand2.6M (version of mmpose).

::

    data/mini_hands/images/{train,val}/*.jpg                     128 x 128
    data/mini_hands/annotations/{train,val}_{data,camera,joint_3d}.json

Each hand has a random pose in space, its palm or its back towards the camera; near bones are
thicker, brighter and in front. Right hands are colourful and left ones pale, as lines do not show
which side the palm is on.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..drawn_figures import (
    INTERHAND_ORDER,
    SKELETONS,
    draw_bones,
    hues,
    project,
    random_pose,
)
from .drawn_once import DrawnFolder

ROOT = 'data/mini_hands/'
SIZES = {'train': 4000, 'val': 160}
"""Images of each split."""
SIDE = 128
"""Of an image, in pixels."""
FOCAL, DISTANCE, REACH = 210.0, 0.9, 0.2
"""Focal length in pixels; distance of the hands from the camera, and depth before or behind it, in
metres, beyond which bones get no brighter or darker."""
YAW, PITCH = 1.2, 0.5
"""Largest turn of a hand about the vertical, and standard deviation of its tilt, in radians."""
HAND = replace(SKELETONS['hand'], bend=0.15)
"""Fingers that bend less than those of the figures: a training of minutes learns the hands' turns,
from which most of the depths follow."""
KINDS = {'right': (1, 0), 'left': (0, 1), 'interacting': (1, 1)}
"""Which hands, right and left, an image has."""


def make_hands(root: str | os.PathLike = ROOT) -> Path:
    """Draws the data set into ``root`` unless it exists; all or nothing.

    Raises:
        UserError: ``root`` contains other files, or cannot be written.
    """
    return _FOLDER.make(root)


def random_hands(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A kind, and the keypoints (2, 21, 3) of a right and a left hand in the drawn skeleton's
    order, in metres, in the camera's coordinates. A hand that the kind has not is at the origin."""
    kind = ('right', 'left', 'interacting', 'interacting')[rng.integers(4)]
    right, left = (random_pose(HAND, rng, YAW, PITCH) for _ in range(2))
    hands = np.stack([right, left * (-1, 1, 1)])
    middles = hands.mean(1, keepdims=True)
    apart = rng.uniform((0.05, -0.04, -0.1), (0.1, 0.04, 0.1)) * (rng.choice([-1, 1]), 1, 1)
    if kind != 'interacting':
        apart *= 0
    hands += np.stack([-apart, apart])[:, None] - middles + (0, 0, DISTANCE)
    return kind, hands * np.array(KINDS[kind])[:, None, None]


def _draw(root: Path) -> None:
    (root / 'annotations').mkdir()
    for number, (split, size) in enumerate(SIZES.items()):
        write_split(root, split, size, number)


def write_split(root: Path, split: str, size: int, seed: int) -> None:
    """Draws ``size`` images, and writes the three annotation files of a split."""
    folder = root / 'images' / split
    folder.mkdir(parents=True)
    images, annotations, poses = [], [], {}
    for index in range(size):
        kind, hands = random_hands(np.random.default_rng([seed, index]))
        name = f'{index:05d}.jpg'
        cv2.imwrite(str(folder / name), _rendered(kind, hands), [cv2.IMWRITE_JPEG_QUALITY, 95])
        images.append(dict(id=index, file_name=name, width=SIDE, height=SIDE, capture=0,
                           camera='0', frame_idx=index))  # fmt: skip
        annotations.append(_annotation(index, kind, hands))
        points = 1000 * hands[:, INTERHAND_ORDER].reshape(42, 3)
        poses[str(index)] = dict(world_coord=points.round(3).tolist(), hand_type=kind)
    camera = dict(
        campos={'0': [0, 0, 0]}, camrot={'0': np.eye(3).tolist()}, focal={'0': [FOCAL, FOCAL]},
        princpt={'0': [SIDE / 2, SIDE / 2]},
    )  # fmt: skip
    files = dict(
        data=dict(images=images, annotations=annotations), camera={'0': camera},
        joint_3d={'0': poses},
    )  # fmt: skip
    for name, content in files.items():
        (root / 'annotations' / f'{split}_{name}.json').write_text(json.dumps(content))


def _annotation(index: int, kind: str, hands: np.ndarray) -> dict[str, Any]:
    shown = np.array(KINDS[kind], bool)
    places = project(hands[shown].reshape(-1, 3), FOCAL, SIDE / 2)
    low, high = places.min(0), places.max(0)
    return dict(
        id=index, image_id=index, category_id=1, iscrowd=0, bbox=[*low, *(high - low)],
        hand_type=kind, hand_type_valid=1, joint_valid=np.repeat(shown, 21).astype(int).tolist(),
    )  # fmt: skip


def _rendered(kind: str, hands: np.ndarray) -> np.ndarray:
    """The image (SIDE, SIDE, 3), BGR, uint8."""
    links, colors = np.array(HAND.links), np.stack([hues(21, 255), hues(21, 90)])
    shown = np.array(KINDS[kind], bool)
    bones = hands[shown][:, links].reshape(-1, 2, 3)
    return draw_bones(bones, colors[shown][:, links[:, 1]].reshape(-1, 3), _LOOK, FOCAL, SIDE)


_LOOK = replace(HAND, distance=DISTANCE, reach=REACH, thickness=0.02)
_FOLDER = DrawnFolder(
    marker='drawn hands of moganet_dense, version ',
    version='2',
    parts=('images', 'annotations'),
    draw=_draw,
)
