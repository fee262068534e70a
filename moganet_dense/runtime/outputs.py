"""Checks what a network of an exported file returns: the file may come from anybody."""

from collections.abc import Sequence

import numpy as np

from ..utils.errors import UserError

MOST_BOXES = 10_000
"""Boxes of an image, at most: detectors return 100 to 1000."""
FAR = 10
"""How far from an image a box or keypoint may be, in its longer sides."""
ROUNDING = 0.01
"""What a score may be below 0 or above 1, by the precision of float16 and int8."""
NOT_FINITE = 'the model returned values that are not finite'
_KINDS = {'i': 'integers', 'f': 'floating point'}


def require_detections(found: Sequence[np.ndarray], classes: int, side: int) -> None:
    """Checks boxes (N, 4), scores (N,) and labels (N,); and masks (N, H, W), the fifth output.

    Args:
        found: the outputs.
        classes: their number.
        side: the longer one of the image, in pixels.

    Raises:
        UserError: one has another type or shape, a label is none of ``classes``, a box is far
            outside the image, or a score is not from 0 to 1.
    """
    if len(found) < 4:
        _refuse('boxes, scores, labels and images', f'{len(found)} outputs')
    boxes, scores, labels, _, *masks = found
    count = len(boxes) if boxes.ndim else 0
    if count > MOST_BOXES:
        _refuse(f'up to {MOST_BOXES} boxes of an image', f'{count}')
    _require('boxes', boxes, 'f', (count, 4))
    _require('scores', scores, 'f', (count,))
    _require('labels', labels, 'i', (count,))
    _require_near('boxes', boxes, side)
    _require_probable(scores)
    if masks:
        sides = masks[0].shape[1:] if masks[0].ndim == 3 else (28, 28)  # as exported models have
        _require('masks', masks[0], 'f', (count, *sides), least=1)
        if not np.isfinite(masks[0]).all():  # pasted, they are true or false
            raise UserError(NOT_FINITE)
    _require_labels(labels, classes)


def require_label_map(found: Sequence[np.ndarray], size: tuple[int, int], classes: int) -> None:
    """Checks a label map, (1, H, W).

    Raises:
        UserError: likewise.
    """
    _require('a label map', found[0], 'i', (1, *size))
    _require_labels(found[0], classes)


def require_scores(found: Sequence[np.ndarray], classes: int) -> None:
    """Checks scores of an image, (1, classes).

    Raises:
        UserError: likewise.
    """
    _require('scores', found[0], 'f', (1, classes))
    _require_probable(found[0])


def require_keypoints(found: Sequence[np.ndarray], people: int, keypoints: int, side: int) -> None:
    """Checks keypoints (N, K, 2) and their scores (N, K), which may be any number: heights of
    heatmaps.

    Args:
        found: the outputs.
        people: crops that the network saw.
        keypoints: their number.
        side: the longer one of a crop, in pixels.

    Raises:
        UserError: likewise.
    """
    if len(found) < 2:
        _refuse('keypoints and scores', f'{len(found)} outputs')
    _require('keypoints', found[0], 'f', (people, keypoints, 2))
    _require('scores', found[1], 'f', (people, keypoints))
    _require_near('keypoints', found[0], side)


def _require(
    what: str, array: np.ndarray, kind: str, shape: tuple[int, ...], least: int = 0
) -> None:
    if array.dtype.kind != kind or array.shape != shape or min(shape[1:], default=1) < least:
        _refuse(f'{what}, {_KINDS[kind]} of shape {shape}', f'{array.dtype} {array.shape}')


def _require_near(what: str, places: np.ndarray, side: int) -> None:
    """Refuses places far outside an image; NaN and infinity are :data:`NOT_FINITE`."""
    if places.size and (far := np.abs(places[np.isfinite(places)]).max(initial=0)) > FAR * side:
        _refuse(f'{what} near an image of up to {side} pixels', f'{far:.3g}')


def _require_probable(scores: np.ndarray) -> None:
    """Refuses scores below 0 or above 1, but for rounding."""
    if scores.size and (scores.min() < -ROUNDING or scores.max() > 1 + ROUNDING):
        _refuse('scores from 0 to 1', f'{scores.min():.3g} to {scores.max():.3g}')


def _require_labels(labels: np.ndarray, classes: int) -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        _refuse(f'labels of {classes} classes', 'others')


def _refuse(expected: str, found: str) -> None:
    raise UserError(f'expected {expected} from the model, found {found}; export it again')
