"""The last lines of `predict`: counts by class, and the best score where nothing passes."""

import numpy as np

from moganet_dense.inference.tally import Tally
from moganet_dense.results import Detections, Poses


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


def test_nothing_of_the_classes_that_are_kept():
    tally = Tally(0.3, ['tree'])
    tally.add(found([0.9], [0]).where(name=['tree']))
    assert list(tally.lines()) == [
        'found nothing of --classes tree: the model returned no such object'
    ]
    tally.add(found([0.25], [1]).where(name=['tree']))
    (line,) = tally.lines()
    assert line.startswith('found nothing of --classes tree of score 0.3 or more; the best')


def test_keypoints_that_are_not_drawn():
    tally = Tally(0.3)
    tally.add(poses([[0.125, 0.0625]]))
    assert list(tally.lines()) == [
        'found: person 1',
        'no keypoint is drawn: none has a score of 0.3 or more, the best has 0.125; --score-thr '
        'sets it',
    ]
    tally.add(poses([[0.125, 0.5]]))
    assert list(tally.lines()) == ['found: person 2']
    tally.add(poses([]))
    assert (tally.empty, tally.seen) == (1, 3)


def poses(scores: list[list[float]]) -> Poses:
    keypoints, boxes = np.zeros((len(scores), 2, 2)), np.zeros((len(scores), 4))
    table = np.array(scores, np.float32).reshape(-1, 2)
    return Poses(keypoints, table, boxes, ('a', 'b'), ((0, 1),))
