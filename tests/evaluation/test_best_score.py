"""The score with the best F1, worked out by hand."""

import numpy as np
import pytest

from moganet_dense.evaluation.coco_precision import Precision


class Evaluated:
    """One class, four objects; predictions of score 0.9 (right), 0.8 (right), 0.4 (wrong) and 0.3
    (right): recall 1/4, 2/4, 3/4 at precision 1, 1, 3/4."""

    class params:
        iouType = 'bbox'
        iouThrs = np.array([0.5])
        recThrs = np.linspace(0, 1, 101)

    def __init__(self) -> None:
        recalls = self.params.recThrs
        precision = np.where(recalls <= 0.5, 1.0, np.where(recalls <= 0.75, 0.75, 0.0))
        scores = np.where(recalls <= 0.25, 0.9, np.where(recalls <= 0.5, 0.8, 0.3))
        scores[recalls > 0.75] = 0.0
        self.eval = dict(
            precision=precision.reshape(1, 101, 1, 1, 1),
            recall=np.array(0.75).reshape(1, 1, 1, 1),
            scores=scores.reshape(1, 101, 1, 1, 1),
        )


def test_best_f1_and_its_score():
    """From 0.3 on: precision 3/4, recall 3/4, F1 0.75; from 0.8 on 2 / 3; from 0.9 on 0.4."""
    score, f1 = Precision(Evaluated()).best_score([0])
    assert f1 == pytest.approx(0.75) and score == 0.3
    table = Precision(Evaluated()).table('Boxes', ['ball'], [4])
    assert table.columns[-2:] == ['best F1', 'from score']
    assert table.rows[0][-2:] == [pytest.approx(0.75), 0.3]
    assert 'predict with --score-thr 0.30' in table.note


def test_without_scores_nothing_is_suggested():
    evaluated = Evaluated()
    del evaluated.eval['scores']
    assert Precision(evaluated).best_score([0]) is None
    assert Precision(evaluated).table('Boxes', ['ball'], [4]).note == ''
