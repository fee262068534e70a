"""The last lines of `predict`: counts by class, and the best score where nothing passes."""

import numpy as np

from moganet_dense.inference.tally import Tally
from moganet_dense.results import Detections


def found(scores: list[float], labels: list[int]) -> Detections:
    boxes = np.zeros((len(scores), 4), np.float32)
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, int), ('ball', 'tree'))


def test_counts_by_class():
    tally = Tally(0.3)
    tally.add(found([0.9, 0.4, 0.2], [1, 0, 1]))
    tally.add(found([0.8], [1]))
    assert list(tally.lines()) == ['found: tree 2, ball 1']


def test_the_best_score_where_nothing_passes():
    tally = Tally(0.3)
    tally.add(found([0.217, 0.1], [0, 1]))
    tally.add(found([], []))
    assert list(tally.lines()) == [
        'found nothing of score 0.3 or more; the best score is 0.217: --score-thr 0.21 shows it'
    ]


def test_nothing_at_all():
    tally = Tally(0.3)
    assert list(tally.lines()) == []  # no image
    tally.add(found([], []))
    (line,) = tally.lines()
    assert line.startswith('found nothing: the model returned no object; it needs more training')
