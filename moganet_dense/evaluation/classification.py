"""Classification: results of mmpretrain's Accuracy as an :class:`Evaluation`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..data.image_io import decode
from ..visualization.report_drawing import fitted, write_caption
from .summary import KEPT, Curves, Evaluation, Extremes, Pair, Table, confusion, number

POINTS = 100
"""Points of the precision-recall curve."""


def evaluation(
    answers: Sequence[tuple[int, float, int]], names: Sequence[str], path: Callable[[int], str]
) -> Evaluation:
    """The evaluation of a classifier for the report.

    Args:
        answers: predicted class, its score and the true class of each image.
        names: of the C classes.
        path: the file of an image, by its index in the data set.
    """
    found, certain, truth = (np.array(column) for column in zip(*answers, strict=True))
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (truth, found), 1)
    right = found == truth

    extremes = Extremes()
    for i, score in enumerate(np.where(right, certain, -certain)):
        extremes.offer(float(score), lambda i=i: i)

    def draw(i: int) -> Pair:
        image, _ = fitted(decode(path(i))[..., ::-1], 320)
        said = f'{names[found[i]]} {certain[i]:.2f}'
        images = write_caption(image, names[truth[i]]), write_caption(image, said)
        return Pair(Path(path(i)).name, *images)

    result = Evaluation(
        'classification',
        ranking='confidence: the most confident correct and the most confident wrong',
    )
    result.tables = [_table(counts, names)]
    result.confusion = confusion('Confusion of classes', counts, names)
    result.curves = [
        Curves(
            'Precision over recall of the top prediction',
            {'all classes': precision_recall(right, certain)},
            note='Predictions below a confidence threshold are ignored; recall is over all images.',
        )
    ]
    result.show(extremes, draw, range(min(KEPT, len(answers))))
    return result


def precision_recall(right: np.ndarray, certain: np.ndarray) -> list[tuple[float, float]]:
    """(recall, precision) for decreasing confidence thresholds."""
    hits = right[np.argsort(-certain, kind='stable')].cumsum()
    places = np.unique(np.linspace(0, len(hits) - 1, POINTS).round().astype(int))
    return [(float(hits[i] / len(hits)), float(hits[i] / (i + 1))) for i in places]


def _table(counts: np.ndarray, names: Sequence[str]) -> Table:
    right, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        recall, precision = right / true, right / found
    rows = [
        [names[k], int(true[k]), number(recall[k]), number(precision[k])]
        for k in range(len(names))
        if true[k] or found[k]
    ]
    return Table('Accuracy by class', ['class', 'images', 'accuracy', 'precision'], rows)
