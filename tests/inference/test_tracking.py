"""Numbers of tracked objects: they stay with their object, video by video."""

import sys

import numpy as np
import pytest

from moganet_dense.data.sources import Frame, Source
from moganet_dense.inference.tracking import Tracks
from moganet_dense.results import Detections
from moganet_dense.utils.errors import UserError

IMAGE = np.zeros((100, 200, 3), np.uint8)


def found(*rows) -> Detections:
    """Boxes of 20 x 20 at x, y with a score."""
    boxes = np.array([[x, y, x + 20, y + 20] for x, y, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in rows], np.float32)
    return Detections(boxes, scores, np.zeros(len(rows), int), ('cat',))


def frame(source: Source, index: int | None) -> Frame:
    return Frame(source, IMAGE, index, 25.0)


def test_numbers_stay_with_their_objects():
    pytest.importorskip('trackers')
    tracks, clip = Tracks('detection'), Source('a.mp4', 'a')
    seen = {}
    for k in range(8):
        left, right = (5 + 4 * k, 10, 0.9), (170 - 4 * k, 60, 0.8)
        rows = [left, right] if k % 2 else [right, left]  # their order changes
        rows += [(100, 80, 0.05)]  # never sure enough
        result = tracks.numbered(frame(clip, k), found(*rows), 0.3)
        ids = result.track_ids.tolist()
        assert ids[2] == -1
        if k:
            seen.setdefault('left', set()).add(ids[rows.index(left)])
            seen.setdefault('right', set()).add(ids[rows.index(right)])
        else:
            assert ids == [-1, -1, -1]  # in its first frame nothing has a number
    assert all(len(numbers) == 1 for numbers in seen.values()) and seen['left'] != seen['right']
    assert 'track_id' in result.rows()[0]
    other = tracks.numbered(frame(Source('b.mp4', 'b'), 0), found((5, 10, 0.9)), 0.3)
    assert other.track_ids.tolist() == [-1]  # another video starts again
    still = found((1, 1, 0.9))
    assert tracks.numbered(frame(Source('c.jpg', 'c'), None), still, 0.3) is still
    assert len(tracks.numbered(frame(clip, 0), found(), 0.3)) == 0


def test_what_is_not_tracked(monkeypatch):
    with pytest.raises(UserError, match='--track is for detectors and pose estimators'):
        Tracks('segmentation')
    monkeypatch.setitem(sys.modules, 'trackers', None)
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(UserError, match='pip install supervision trackers'):
        Tracks('detection')
