"""Responses of the page and its downloads, in COCO format where possible."""

import base64
import zlib
from typing import Any

import numpy as np

from ..results import Classification, Detections, Panoptic, Poses, Result, Segmentation
from ..results.coco_rows import categories
from ..results.polygons import run_lengths
from ..visualization.drawing import colours


def answer(result: Result, size: tuple[int, int]) -> dict[str, Any]:
    """A result as plain data.

    Args:
        result: of an image.
        size: its width and height.

    Returns:
        the download: images, annotations and categories in COCO format, or classes; and under
        ``shown`` further data of the page: colours and, for segmentation, the confidence of each
        pixel.
    """
    image = dict(id=1, width=size[0], height=size[1])
    if isinstance(result, Panoptic):
        result = _as_segmentation(result)
    if isinstance(result, Classification):
        return dict(images=[image], classes=result.rows(), shown={})
    if isinstance(result, Segmentation):
        found = [_area(result, row) for row in result.rows()]
        table = {row['label']: _hex(result.palette[row['label']]) for row in found}
        shown: dict[str, Any] = dict(colours=table)
        if result.scores is not None:
            shown.update(certainty=_packed(result.scores))
        return dict(images=[image], classes=found, shown=shown)
    listed = [dict(id=k + 1, image_id=1, **row) for k, row in enumerate(result.rows())]
    found = dict(images=[image], annotations=listed, categories=categories(result))
    return dict(found, shown=dict(colours=_colours(result, listed)))


def _as_segmentation(found: Panoptic) -> Segmentation:
    """The classes of a panoptic map; pixels of no segment as one more class."""
    labels = found.labels
    names, palette = (*found.names, 'no segment'), np.vstack([found.palette, [[0, 0, 0]]])
    labels = np.where(labels < 0, len(found.names), labels)
    scores = np.ones(labels.shape, np.float32)
    return Segmentation(labels, names, palette.astype(np.uint8), scores)


def _area(result: Segmentation, row: dict[str, Any]) -> dict[str, Any]:
    """The row of a class with its mask, and its mean confidence if there is one: exported files
    have none."""
    mask = result.labels == row['label']
    area = dict(row, segmentation=run_lengths(mask))
    if result.scores is not None:
        area.update(score=round(float(result.scores[mask].mean()), 5))
    return area


def _colours(result: Detections | Poses, listed: list[dict]) -> dict[int, str]:
    """Colours of the classes in the image; for poses of the people, counted from 0."""
    present = [row['category_id'] for row in listed]
    kinds = range(len(result)) if isinstance(result, Poses) else sorted(set(present))
    return {kind: _hex(colour) for kind, colour in zip(kinds, colours(len(kinds)), strict=True)}


def _packed(scores: np.ndarray) -> str:
    """Probabilities in 255ths, row by row, deflated, in base 64."""
    return base64.b64encode(zlib.compress((scores * 255).round().astype(np.uint8))).decode()


def _hex(colour: np.ndarray) -> str:
    return '#' + bytes(colour.tolist()).hex()
