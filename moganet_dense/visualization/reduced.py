"""Images and their results made smaller, to draw what would not fit into memory twice."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from ..results import Detections, Panoptic, Poses, Segmentation
from ..results.box_masks import BoxMasks, Part, part_of
from ..utils.spooled_images import release

_BAND = 256
"""Rows that are made smaller at a time."""


def reduced(image: np.ndarray, result: Any, factor: float) -> tuple[np.ndarray, Any]:
    """An image and its result, with sides of that part of their length.

    Args:
        image: (H, W, 3) uint8.
        result: of that image.
        factor: at most 1.
    """
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return _smaller(image, size), _reduced(result, size, factor)


def _smaller(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Averages of areas, in bands of rows, whose memory is given back where the image is in a file.
    Bands start at whole rows, less than a row from where their areas do."""
    width, height = size
    small = np.empty((height, width, *image.shape[2:]), image.dtype)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        first, last = (round(n * image.shape[0] / height) for n in (top, bottom))
        band = np.ascontiguousarray(image[first:last])
        small[top:bottom] = cv2.resize(
            band, (width, bottom - top), interpolation=cv2.INTER_AREA
        ).reshape(bottom - top, width, *image.shape[2:])
        release(image)
    return small


def _reduced(result: Any, size: tuple[int, int], factor: float) -> Any:
    if isinstance(result, Segmentation):
        return replace(result, labels=_nearest(result.labels, size), scores=None)
    if isinstance(result, Panoptic):
        return replace(result, segment_map=_nearest(result.segment_map, size))
    if isinstance(result, Poses):
        places = dict(keypoints=result.keypoints * factor, boxes=result.boxes * factor)
        return replace(result, **places, size=size[::-1])
    if isinstance(result, Detections):
        masks = None if result.masks is None else _masks(result.masks, size, factor)
        return replace(result, boxes=result.boxes * factor, masks=masks, size=size[::-1])
    return result


def _nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[np.ix_(rows, columns)]


def _masks(masks: np.ndarray | BoxMasks, size: tuple[int, int], factor: float) -> BoxMasks:
    parts = []
    for i in range(len(masks)):
        left, top, mask = part_of(masks, i)
        left, top = int(left * factor), int(top * factor)
        side = [min(max(1, round(n * factor)), limit) for n, limit
                in ((mask.shape[1], size[0] - left), (mask.shape[0], size[1] - top))]  # fmt: skip
        if mask.size and min(side) > 0:
            mask = _nearest(mask, (side[0], side[1]))
        parts.append(Part(left, top, mask))
    return BoxMasks(parts, size[::-1])
