"""Results as LabelMe's JSON, to be corrected by hand (https://github.com/wkentaro/labelme)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .box_masks import part_of
from .polygons import polygons

if TYPE_CHECKING:
    from .kinds import Detections, Poses, Segmentation

VERSION = '5.5.0'
"""Of the format."""


def file_of(
    shapes: list[dict], size: tuple[int, int], file_name: str, flags: dict | None = None
) -> dict[str, Any]:
    """What LabelMe saves next to an image.

    Args:
        shapes: see :func:`of_detections`.
        size: height and width of the image.
        file_name: of the image, from the JSON file's folder.
        flags: names that hold of the whole image.
    """
    return dict(
        version=VERSION, flags=flags or {}, shapes=shapes, imagePath=file_name, imageData=None,
        imageHeight=size[0], imageWidth=size[1],
    )  # fmt: skip


def of_detections(found: 'Detections') -> list[dict[str, Any]]:
    """A rectangle for each object; with masks, polygons instead, grouped if there are several."""
    shapes = []
    for i, label in enumerate(found.labels):
        name, score = found.names[label], float(found.scores[i])
        if found.masks is None:
            x1, y1, x2, y2 = map(float, found.boxes[i])
            shapes.append(_shape(name, 'rectangle', [[x1, y1], [x2, y2]], None, score))
            continue
        left, top, mask = part_of(found.masks, i)
        outlines = polygons(mask, (left, top))
        group = i if len(outlines) > 1 else None
        shapes += [_polygon(name, outline, group, score) for outline in outlines]
    return shapes


def of_poses(found: 'Poses', score_thr: float) -> list[dict[str, Any]]:
    """A rectangle for each person, and a point for each keypoint of at least that score, in one
    group."""
    shapes = []
    for i, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        score = None if found.box_scores is None else float(found.box_scores[i])
        shapes.append(_shape(found.category, 'rectangle', [[x1, y1], [x2, y2]], i, score))
        rows = zip(found.names, found.keypoints[i].tolist(), found.scores[i], strict=True)
        shapes += [
            _shape(name, 'point', [point], i, float(own)) for name, point, own in rows
            if own >= score_thr
        ]  # fmt: skip
    return shapes


def of_segmentation(found: 'Segmentation') -> list[dict[str, Any]]:
    """A polygon for each connected region of a class."""
    shapes = []
    for label in np.unique(found.labels):
        for outline in polygons(found.labels == label):
            shapes.append(_polygon(found.names[label], outline, None, None))
    return shapes


def _polygon(name: str, outline: list[float], group: int | None, score: float | None) -> dict:
    points = np.array(outline).reshape(-1, 2).tolist()
    return _shape(name, 'polygon', points, group, score)


def _shape(name: str, kind: str, points: list, group: int | None, score: float | None) -> dict:
    text = '' if score is None else f'score {score:.5f}'
    return dict(
        label=name, points=points, group_id=group, description=text, shape_type=kind, flags={},
        mask=None,
    )  # fmt: skip
