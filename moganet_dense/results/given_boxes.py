"""Boxes that a user gives a pose estimator."""

from typing import Any

import numpy as np

from ..utils.errors import UserError


def boxes_of(given: Any, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Boxes of people, and how certain each is.

    Args:
        given: (N, 4), x1 y1 x2 y2 in pixels of the image; (N, 5), with a score as the fifth;
            (4,) or (5,), one of them; Detections; or None: the whole image is one.
        image: (H, W, 3).

    Returns:
        boxes (N, 4) float32, and scores (N,) float32 or None.

    Raises:
        UserError: they are no boxes.
    """
    if given is None:
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), None
    scores = getattr(given, 'scores', None)
    try:
        array = np.asarray(getattr(given, 'boxes', given), np.float32)
    except (TypeError, ValueError):
        raise UserError(
            f'boxes: expected (N, 4), x1 y1 x2 y2, or None for the whole image, found {given!r}'
        ) from None
    if array.size == 0:
        return array.reshape(0, 4), scores
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise UserError(
            f'boxes: expected (N, 4), x1 y1 x2 y2, or (N, 5) with scores, found {array.shape}'
        )
    array, own = array[:, :4], array[:, 4] if array.shape[1] == 5 else None
    if not np.isfinite(array).all() or (array[:, 2:] <= array[:, :2]).any():
        raise UserError('boxes: expected x1 < x2 and y1 < y2 in pixels, found others')
    return array, scores if own is None else own
