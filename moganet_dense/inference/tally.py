"""What was found in all images, for the last lines of ``predict``."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ..results import Classification, Detections, Poses, Result, Segmentation
from ..results.coco_rows import pixel_counts

SHOWN = 10
"""Classes that are named."""


class Tally:
    """Counts results by class.

    Args:
        score_thr: objects below it do not count.
    """

    def __init__(self, score_thr: float) -> None:
        self.score_thr = score_thr
        self.counts: Counter[str] = Counter()
        self.pixels = False
        self.best: float | None = None  # of objects, whatever the threshold
        self.objects = False  # the model detects objects

    def add(self, result: Result) -> None:
        """Counts objects, people, images of a class, or pixels."""
        if isinstance(result, Detections):
            self.objects = True
            if len(result.scores):
                self.best = max(self.best or 0.0, float(result.scores.max()))
            kept = result.labels[result.scores >= self.score_thr]
            self._count(np.bincount(kept, minlength=len(result.names)), result.names)
        elif isinstance(result, Segmentation):
            self.pixels = True
            self._count(pixel_counts(result.labels, len(result.names)), result.names)
        elif isinstance(result, Classification):
            self.counts[result.name] += 1
        elif isinstance(result, Poses):
            self.counts[getattr(result, 'category', 'instance')] += len(result)

    def _count(self, numbers: np.ndarray, names: Sequence[str]) -> None:
        for k in np.flatnonzero(numbers):
            self.counts[names[k] if k < len(names) else f'class {k}'] += int(numbers[k])

    def lines(self) -> Iterator[str]:
        """At most two lines."""
        total = sum(self.counts.values())
        if total:
            shown = [
                f'{name} {n / total:.1%}' if self.pixels else f'{name} {n}'
                for name, n in self.counts.most_common(SHOWN)
            ]
            more = len(self.counts) - len(shown)
            yield f'found: {", ".join(shown)}' + (f' and {more} more classes' if more > 0 else '')
        elif self.best is not None:
            yield (
                f'found nothing of score {self.score_thr:g} or more; the best score is '
                f'{self.best:.3f}: --score-thr {max(0.0, np.floor(self.best * 100) / 100):g} '
                'shows it'
            )
        elif self.objects:
            yield (
                'found nothing: the model returned no object; it needs more training, or a lower '
                'threshold of its own (score_thr in the test_cfg of its config)'
            )
