"""Results as annotations of COCO's format, with scores (https://cocodataset.org/#format-data)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .box_masks import part_of
from .coco_classes import category_ids
from .polygons import polygons, run_lengths

if TYPE_CHECKING:
    from .kinds import Classification, Detections, Panoptic, Poses, Segmentation

TOP = 5
"""Classes that are written of a classified image."""

SEEN = 0.2
"""Score of the keypoints whose mean, times the box's score, is a person's: as mmpose has it."""


def of_detections(found: 'Detections', outlines: bool) -> list[dict[str, Any]]:
    """One annotation for each object; masks as run lengths, or as ``outlines``: polygons."""
    ids, listed = category_ids(found.names), []
    for i in range(len(found)):
        box = _box(found.boxes[i])
        row = dict(
            category_id=ids[found.labels[i]],
            bbox=box,
            area=round(box[2] * box[3], 2),
            iscrowd=0,
            score=round(float(found.scores[i]), 5),
        )
        if found.masks is not None:
            left, top, mask = part_of(found.masks, i)
            size = found.masks.shape[1:]
            corner = left, top
            shape = polygons(mask, corner) if outlines else run_lengths(mask, corner, size)
            row.update(segmentation=shape, area=int(mask.sum()))
        if found.track_ids is not None:
            row.update(track_id=int(found.track_ids[i]))
        listed.append(row)
    return listed


def of_poses(found: 'Poses', score_thr: float) -> list[dict[str, Any]]:
    """One annotation for each person; keypoints are all written, and counted from the score on."""
    certain = np.ones(len(found)) if found.box_scores is None else found.box_scores
    listed = []
    for i in range(len(found)):
        keypoints = np.column_stack([found.keypoints[i], found.scores[i]])
        box = _box(found.boxes[i])
        seen = found.scores[i][found.scores[i] > SEEN]
        score = float(certain[i] * seen.mean()) if len(seen) else 0.0
        row = dict(
            category_id=1,
            keypoints=[round(float(n), 3) for n in keypoints.ravel()],
            num_keypoints=int((found.scores[i] >= score_thr).sum()),
            bbox=box,
            area=round(box[2] * box[3], 2),
            iscrowd=0,
            score=round(score, 5),
        )
        if found.track_ids is not None:
            row.update(track_id=int(found.track_ids[i]))
        listed.append(row)
    return listed


def of_segmentation(found: 'Segmentation') -> list[dict[str, Any]]:
    """The classes in the image and their pixels, the largest first."""
    sizes = pixel_counts(found.labels, len(found.names))
    order = [int(k) for k in np.argsort(-sizes) if sizes[k]]
    return [dict(label=k, name=found.names[k], pixels=int(sizes[k])) for k in order]


def pixel_counts(labels: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64: the pixels of each class. By parts: NumPy counts in 8 bytes per pixel."""
    rows = max(1, 4_000_000 // max(1, labels.shape[1]))
    parts = (labels[top : top + rows].ravel() for top in range(0, len(labels), rows))
    return sum((np.bincount(part, minlength=count) for part in parts), np.zeros(count, np.int64))


def of_panoptic(found: 'Panoptic') -> list[dict[str, Any]]:
    """``segments_info`` of COCO's panoptic format, with names."""
    ids, listed = category_ids(found.names), []
    for segment in found.segments:
        mask = found.segment_map == segment.id
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        left, top = int(columns[0]), int(rows[0])
        listed.append(dict(
            id=segment.id, category_id=ids[segment.label], name=found.names[segment.label],
            isthing=int(segment.is_thing), area=int(mask.sum()), iscrowd=0,
            bbox=[left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        ))  # fmt: skip
    return listed


def of_classification(found: 'Classification') -> list[dict[str, Any]]:
    """The five most probable classes."""
    best = [int(k) for k in np.argsort(-found.scores)[:TOP]]
    return [
        dict(label=k, name=found.names[k], score=round(float(found.scores[k]), 5)) for k in best
    ]


def categories(found: 'Detections | Poses | Panoptic') -> list[dict[str, Any]]:
    """The classes; of poses the one that they are of, with its keypoints."""
    if hasattr(found, 'skeleton'):
        skeleton = [[a + 1, b + 1] for a, b in found.skeleton]  # COCO counts keypoints from 1
        return [dict(id=1, name=found.category, keypoints=list(found.names), skeleton=skeleton)]
    ids = category_ids(found.names)
    return [dict(id=i, name=name) for i, name in zip(ids, found.names, strict=True)]


def data_set(
    found: 'Detections | Poses', annotations: list[dict], size: tuple[int, int], file_name: str
) -> dict[str, Any]:
    """A data set of one image in COCO's format."""
    image = dict(id=1, file_name=file_name, height=size[0], width=size[1])
    listed = [dict(id=k + 1, image_id=1, **row) for k, row in enumerate(annotations)]
    return dict(images=[image], annotations=listed, categories=categories(found))


def _box(corners: np.ndarray) -> list[float]:
    """x y width height of x1 y1 x2 y2."""
    x1, y1, x2, y2 = (round(float(n), 2) for n in corners)
    return [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
