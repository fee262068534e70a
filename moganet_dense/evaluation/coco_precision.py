"""Precisions of a COCO evaluation, read while a metric runs, without a second evaluation.

Metrics of mmdet and mmpose keep only the summary. Sources: pycocotools and xtcocotools,
``COCOeval.accumulate``, whose ``eval['precision']`` is of (IoU or OKS threshold, recall, class,
area, detections per image), -1 if a class has no object.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .summary import LINES, Curves, Table, number

SCORES = np.round(np.arange(0.01, 1.0, 0.01), 2)
"""Candidates for the least score."""


class Precision:
    """The precisions of one evaluation, for all areas and the most detections per image.

    Args:
        coco_eval: a COCOeval that has accumulated.
    """

    def __init__(self, coco_eval: Any) -> None:
        self.kind = coco_eval.params.iouType
        self.thresholds = np.asarray(coco_eval.params.iouThrs)
        self.recalls = np.asarray(coco_eval.params.recThrs)
        self.values = coco_eval.eval['precision'][:, :, :, 0, -1].copy()  # (T, R, K)
        self.recall = coco_eval.eval['recall'][:, :, 0, -1].copy()  # (T, K)
        scores = coco_eval.eval.get('scores')  # of (T, R, K, area, most): at each recall
        self.scores = None if scores is None else np.asarray(scores)[0, :, :, 0, -1].copy()

    def at(self, threshold: float) -> np.ndarray:
        """(R, K): the precisions at one threshold, -1 if there is no object."""
        return self.values[int(np.abs(self.thresholds - threshold).argmin())]

    def average(self, label: int, threshold: float | None = None) -> float | None:
        """AP of a class at one threshold, or averaged over all of them."""
        found = self.values[..., label] if threshold is None else self.at(threshold)[:, label]
        return number(found[found > -1].mean()) if (found > -1).any() else None

    def average_recall(self, label: int) -> float | None:
        found = self.recall[:, label]
        return number(found[found > -1].mean()) if (found > -1).any() else None

    def f1(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """F1 of a class at IoU 0.5 for each of :data:`SCORES`, and by recall, (R,)."""
        precision = self.values[0, :, label]
        sums = np.maximum(precision + self.recalls, 1e-12)
        by_recall = np.where(precision > 0, 2 * precision * self.recalls / sums, 0.0)
        if self.scores is None:
            return np.zeros(len(SCORES)), by_recall
        reached = (self.scores[:, label][None] >= SCORES[:, None]) & (precision > 0)[None]
        last = np.where(reached.any(1), reached.shape[1] - 1 - reached[:, ::-1].argmax(1), 0)
        return np.where(reached.any(1), by_recall[last], 0.0), by_recall

    def best_score(self, labels: Sequence[int]) -> tuple[float, float] | None:
        """The score from which on predictions are taken that gives the best mean F1 of some
        classes, and that F1; None: there are no predictions, or scores are not known."""
        if self.scores is None or not len(labels) or abs(self.thresholds[0] - 0.5) > 1e-6:
            return None
        mean = np.mean([self.f1(k)[0] for k in labels], axis=0)
        best = int(np.flatnonzero(mean == mean.max())[-1])
        return (float(SCORES[best]), float(mean[best])) if mean[best] > 0 else None

    def table(self, title: str, names: Sequence[str], objects: Sequence[int]) -> Table:
        """AP by class, without classes that have no objects."""
        rows = [
            [
                name,
                int(objects[k]),
                self.average(k),
                self.average(k, 0.5),
                self.average(k, 0.75),
                self.average_recall(k),
                *(self.best_score([k]) or (None, None))[::-1],
            ]
            for k, name in enumerate(names)
            if objects[k]
        ]
        left_out = len(names) - len(rows)
        note = f'{left_out} classes without objects are omitted. ' if left_out else ''
        if best := self.best_score([k for k in range(len(names)) if objects[k]]):
            note += (
                f'The mean F1 at IoU 0.5 is best, {best[1]:.2f}, for predictions of score '
                f'{best[0]:.2f} and more: predict with --score-thr {best[0]:.2f}.'
            )
        columns = ['class', 'objects', 'AP', 'AP50', 'AP75', 'AR', 'best F1', 'from score']
        return Table(title, columns, rows, note.strip())

    def curves(
        self, title: str, what: str, names: Sequence[str], objects: Sequence[int]
    ) -> list[Curves]:
        """Precision over recall: mean over classes at some thresholds, and per class at 0.5."""
        there = [k for k in range(len(names)) if objects[k]]
        if not there:
            return []
        lines = {
            f'{what} {t:.2f}': self._line(self.at(t)[:, there].mean(1)) for t in (0.5, 0.75, 0.9)
        }
        found = [Curves(title, lines)]
        if len(there) > 1:
            most = sorted(there, key=lambda k: -objects[k])[:LINES]
            by_class = {names[k]: self._line(self.at(0.5)[:, k]) for k in most}
            found.append(Curves(f'{title} by class, {what} 0.50', by_class))
        return found

    def _line(self, precision: np.ndarray) -> list[tuple[float, float]]:
        return [(round(float(r), 3), round(float(p), 4)) for r, p in
                zip(self.recalls, precision, strict=True)]  # fmt: skip
