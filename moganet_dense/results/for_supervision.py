"""Results as objects of supervision, a library that draws, counts, tracks and converts
(https://supervision.roboflow.com)."""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import UserError

if TYPE_CHECKING:
    from .kinds import Classification, Detections, Panoptic, Poses, Segmentation


def supervision() -> Any:
    """The library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise UserError(
            f'to_supervision() needs the package supervision ({error}); python -m pip install '
            'supervision'
        ) from None
    return supervision


def of_detections(found: 'Detections') -> Any:
    """``supervision.Detections``, with the names of classes as ``data['class_name']``."""
    names = np.array([found.names[label] for label in found.labels], dtype=str)
    return supervision().Detections(
        xyxy=found.boxes.astype(np.float32).reshape(-1, 4),
        mask=None if found.masks is None else np.asarray(found.masks),
        confidence=found.scores,
        class_id=found.labels.astype(int),
        tracker_id=found.track_ids,
        data=dict(class_name=names),
    )


def of_poses(found: 'Poses') -> Any:
    """``supervision.KeyPoints``."""
    kind = supervision().KeyPoints
    newer = 'keypoint_confidence' in inspect.signature(kind.__init__).parameters
    scores = {'keypoint_confidence' if newer else 'confidence': found.scores}
    return kind(xy=found.keypoints, class_id=np.zeros(len(found), int), **scores)


def of_segmentation(found: 'Segmentation') -> Any:
    """``supervision.Detections``: an object for each class in the image, with its mask."""
    labels = np.unique(found.labels)
    return _of_masks([found.labels == label for label in labels], labels, found.names)


def of_panoptic(found: 'Panoptic') -> Any:
    """``supervision.Detections``: an object for each segment."""
    labels = np.array([segment.label for segment in found.segments], int)
    masks = [found.segment_map == segment.id for segment in found.segments]
    return _of_masks(masks, labels, found.names)


def _of_masks(masks: list[np.ndarray], labels: np.ndarray, names: tuple[str, ...]) -> Any:
    library, stack = supervision(), np.array(masks, bool)
    if not masks:
        return library.Detections.empty()
    return library.Detections(
        xyxy=np.array([_box(mask) for mask in masks], np.float32),
        mask=stack,
        class_id=labels.astype(int),
        data=dict(class_name=np.array([names[label] for label in labels], dtype=str)),
    )


def of_classification(found: 'Classification') -> Any:
    """``supervision.Classifications`` of all classes."""
    return supervision().Classifications(
        class_id=np.arange(len(found.scores)), confidence=found.scores
    )


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
