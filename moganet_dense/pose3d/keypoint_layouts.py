"""Keypoints of 3D poses: their names, what connects them, and the lengths of bones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.drawn_figures import INTERHAND_ORDER, SKELETONS
from .h3wb_dataset import HIPS, metainfo


@dataclass(frozen=True)
class Layout:
    """K keypoints.

    Attributes:
        names: of the keypoints.
        links: pairs of keypoints that are connected.
        flip_indices: index of each keypoint in a mirrored image.
        roots: keypoints whose mean is the root.
        bones: pairs of keypoints whose distance is known.
        lengths: of the bones, in metres.
    """

    names: Sequence[str]
    links: Sequence[tuple[int, int]]
    flip_indices: Sequence[int]
    roots: Sequence[int]
    bones: Sequence[tuple[int, int]]
    lengths: Sequence[float]


def layout_of(dataset: dict[str, Any]) -> Layout:
    """The keypoints of a data set in a config."""
    if dataset['type'] == 'H3WBDataset':
        return whole_body()
    if dataset['type'] == 'InterHand3DDataset':
        return interhand()
    return drawn(dataset.get('kind', 'body'))


def drawn(kind: str) -> Layout:
    """Keypoints of drawn figures, 'body' or 'hand'."""
    skeleton = SKELETONS[kind]
    lengths = np.linalg.norm(skeleton.bones[1:], axis=1).tolist()
    links = skeleton.links
    return Layout(skeleton.names, links, skeleton.flip_indices, (0,), links, lengths)


def interhand() -> Layout:
    """The 21 keypoints of one hand in InterHand2.6M's order: each finger from its tip, the wrist;
    bones have the lengths of drawn hands."""
    hand = drawn('hand')
    place = {k: number for number, k in enumerate(INTERHAND_ORDER)}
    links = [(place[a], place[b]) for a, b in hand.links]
    names = [hand.names[k] for k in INTERHAND_ORDER]
    return Layout(names, links, list(range(len(names))), (place[0],), links, hand.lengths)


def whole_body() -> Layout:
    """The 133 keypoints of COCO-WholeBody; arms and legs have the lengths of drawn bodies."""
    info, body = metainfo(), SKELETONS['body']
    known = {
        (body.names[a], body.names[b]): float(np.linalg.norm(body.bones[b])) for a, b in body.links
    }
    index = info['keypoint_name2id']
    bones = [pair for pair in known if pair[0] in index and pair[1] in index]
    return Layout(
        names=[info['keypoint_id2name'][k] for k in range(len(index))],
        links=[tuple(link) for link in info['skeleton_links']],
        flip_indices=info['flip_indices'],
        roots=HIPS,
        bones=[(index[a], index[b]) for a, b in bones],
        lengths=[known[pair] for pair in bones],
    )
