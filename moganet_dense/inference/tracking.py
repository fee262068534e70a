"""Numbers the objects of videos, the same for one object in all frames, by ByteTrack as the package
``trackers`` has it (https://github.com/roboflow/trackers; Zhang et al., ECCV 2022,
https://arxiv.org/abs/2110.06864)."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.sources import Frame, Source
from ..results import Detections, Poses
from ..utils.errors import UserError

LEAST = 0.1
"""Score that an object needs for a track of its own, at least."""
SECONDS = 1.0
"""How long a track waits for its object to come back."""


class Tracks:
    """Tracks objects frame by frame; each video starts again.

    Args:
        task: of the model.

    Raises:
        UserError: its results are not tracked, or the package is not installed.
    """

    def __init__(self, task: str) -> None:
        if task not in ('detection', 'instance segmentation', 'pose'):
            raise UserError(f'--track is for detectors and pose estimators, this model does {task}')
        try:
            import supervision
            import trackers
        except ImportError as error:
            raise UserError(
                f'--track needs the packages supervision and trackers ({error}); python -m pip '
                'install supervision trackers'
            ) from None
        self._kind, self._objects = trackers.ByteTrackTracker, supervision.Detections
        self._source: Source | None = None
        self._tracker: Any = None

    def numbered(self, frame: Frame, result: Detections | Poses, score_thr: float) -> Any:
        """The result with ``track_ids``: from 0 on; -1 for an object in its first frame, and for
        what is not sure enough to be followed. Of an image that is no video, the result as it is.

        Args:
            frame: of a video, in their order.
            result: of that frame.
            score_thr: objects from it on start tracks; others may continue them.
        """
        if frame.index is None:
            return result
        if frame.source != self._source:
            self._source, least = frame.source, max(score_thr, LEAST)
            self._tracker = self._kind(
                frame_rate=frame.fps,
                lost_track_buffer=round(30 * SECONDS),  # it counts in frames of 30 a second
                track_activation_threshold=least,
                high_conf_det_threshold=least,
                minimum_consecutive_frames=1,
            )
        found = self._tracker.update(self._plain(result))
        ids = np.full(len(result), -1, np.int64)
        if len(found):
            ids[found.data['index']] = found.tracker_id
        return replace(result, track_ids=ids)

    def _plain(self, result: Detections | Poses) -> Any:
        scores = result.box_scores if isinstance(result, Poses) else result.scores
        scores = np.ones(len(result), np.float32) if scores is None else scores
        boxes = result.boxes.astype(np.float32).reshape(-1, 4)
        places = np.arange(len(result))
        return self._objects(xyxy=boxes, confidence=scores, data=dict(index=places))
