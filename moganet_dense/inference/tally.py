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
        classes: the only ones of the results; (): all.
    """

    def __init__(self, score_thr: float, classes: Sequence[str] = ()) -> None:
        self.score_thr, self.classes = score_thr, classes
        self.best_keypoint: float | None = None
        self.counts: Counter[str] = Counter()
        self.pixels = False
        self.best: float | None = None  # of objects, whatever the threshold
        self.objects = False  # the model detects objects
        self.seen, self.empty = 0, 0  # images, and those without a box of a person

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
            self.seen, self.empty = self.seen + 1, self.empty + (not len(result))
            if result.scores.size:
                best = float(result.scores.max())
                self.best_keypoint = max(best, self.best_keypoint or best)

    def _count(self, numbers: np.ndarray, names: Sequence[str]) -> None:
        for k in np.flatnonzero(numbers):
            self.counts[names[k] if k < len(names) else f'class {k}'] += int(numbers[k])

    def _of_classes(self) -> str:
        return f' of --classes {",".join(self.classes)}' if self.classes else ''

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
            if self.best_keypoint is not None and self.best_keypoint < self.score_thr:
                yield (
                    f'no keypoint is drawn: none has a score of {self.score_thr:g} or more, the '
                    f'best has {self.best_keypoint:.3f}; --score-thr sets it'
                )
        elif self.best is not None:
            lower = max(0.0, np.floor(self.best * 100) / 100)
            yield (
                f'found nothing{self._of_classes()} of score {self.score_thr:g} or more; the best '
                f'score is {self.best:.3f}: --score-thr {lower:g} shows it'
            )
        elif self.objects and self.classes:
            yield f'found nothing{self._of_classes()}: the model returned no such object'
        elif self.objects:
            yield (
                'found nothing: the model returned no object; it needs more training, or a lower '
                'threshold of its own (score_thr in the test_cfg of its config)'
            )
