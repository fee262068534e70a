"""The summary of an evaluation, in one form for all tasks."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..visualization.report_drawing import as_url, beside

KEPT = 4
"""Number of best images, of worst images, and of examples for the trackers."""
CLASSES_SHOWN = 40
"""Maximum classes of a confusion matrix: those with the most errors, the others as one."""
CONFUSIONS = 15
"""Number of listed confusions."""
LINES = 8
"""Number of classes with a separate precision-recall curve: those with the most objects."""


@dataclass
class Table:
    """Values by class; the first column is the name, None an undefined value."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    note: str = ''


@dataclass
class Confusion:
    """How often the true class of a row was predicted as the class of a column.

    Attributes:
        rows, columns: names.
        counts: a number for each pair.
        often: the most frequent errors as (true, predicted, count).
    """

    title: str
    rows: list[str]
    columns: list[str]
    counts: list[list[int]]
    often: list[tuple[str, str, int]]
    note: str = ''


@dataclass
class Curves:
    """Precision over recall: lines by name, each a list of (recall, precision); or dots."""

    title: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    dots: dict[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ''


@dataclass(frozen=True)
class Pair:
    """An image with its ground truth, and with its predictions; images of one size."""

    name: str
    truth: np.ndarray
    prediction: np.ndarray
    note: str = ''


@dataclass
class Example:
    """A :class:`Pair` as data: URLs, and its score."""

    name: str
    score: float
    truth: str
    prediction: str
    note: str = ''


@dataclass
class Evaluation:
    """The complete summary; :meth:`content` returns plain data."""

    task: str
    tables: list[Table] = field(default_factory=list)
    confusion: Confusion | None = None
    curves: list[Curves] = field(default_factory=list)
    best: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)
    ranking: str = ''
    """Criterion by which images are ranked."""
    first: list[np.ndarray] = field(default_factory=list)
    """The first images of the data set, ground truth next to prediction, for the trackers."""

    def content(self) -> dict[str, Any]:
        """Plain data, without the first images."""
        return asdict(replace(self, first=[]))

    def show(self, extremes: 'Extremes', draw: Callable[[Any], Pair], first: Iterable) -> None:
        """Draws the best and the worst images, and the first ones."""
        self.best = [_example(score, draw(item)) for score, item in extremes.best()]
        self.worst = [_example(score, draw(item)) for score, item in extremes.worst()]
        self.first = [beside(pair.truth, pair.prediction) for pair in map(draw, first)]


def _example(score: float, pair: Pair) -> Example:
    return Example(pair.name, score, as_url(pair.truth), as_url(pair.prediction), pair.note)


class Extremes:
    """Keeps the best and the worst items.

    Args:
        kept: number of each.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self.kept, self.count = kept, 0
        self.high: list[tuple] = []
        self.low: list[tuple] = []

    def offer(self, score: float, make: Callable[[], Any]) -> None:
        """``make`` is called only if the item is to be kept."""
        self.count += 1
        item = None
        # of equal ones the first are best and the last worst, so that they differ
        for heap, key in ((self.high, (score, -self.count)), (self.low, (-score, self.count))):
            if len(heap) == self.kept and key < heap[0][0]:
                continue
            item = (score, make()) if item is None else item
            push = heapq.heappush if len(heap) < self.kept else heapq.heappushpop
            push(heap, (key, item))

    def best(self) -> list[tuple[float, Any]]:
        """(score, item), the best first."""
        return [item for _, item in sorted(self.high, key=lambda row: row[0], reverse=True)]

    def worst(self) -> list[tuple[float, Any]]:
        """(score, item), the worst first; none that are among the best."""
        ours = {abs(count) for (_, count), _ in self.high}
        rows = sorted(self.low, key=lambda row: row[0], reverse=True)
        return [item for (_, count), item in rows if count not in ours]

    def merge(self, other: 'Extremes') -> None:
        """Adds the items of another process."""
        for score, item in other.best() + other.worst():
            self.offer(score, lambda item=item: item)


def confusion(
    title: str,
    counts: np.ndarray,
    names: Sequence[str],
    beyond: tuple[str, str] | None = None,
    note: str = '',
) -> Confusion:
    """A readable confusion matrix of the classes that occur, at most CLASSES_SHOWN.

    Args:
        title: above it.
        counts: (C, C), integers; the diagonal is correct. With ``beyond`` (C + 1, C + 1).
        names: of the C classes.
        beyond: names of the last row and column, for background and for missed objects.
        note: below it.
    """
    rows, columns = ([*names, name] for name in beyond) if beyond else (names, names)
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(errors, axis=None, kind='stable')[::-1][:CONFUSIONS]
    pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
    often = [(rows[i], columns[j], int(errors[i, j])) for i, j in pairs if errors[i, j]]

    size = len(names)
    occurs = counts.sum(1)[:size] + counts.sum(0)[:size] > 0
    wrong = errors.sum(1)[:size] + errors.sum(0)[:size]
    by_errors = np.argsort(-wrong, kind='stable')
    shown = sorted(k for k in by_errors if occurs[k])
    if len(shown) > CLASSES_SHOWN:
        shown = sorted([k for k in by_errors if occurs[k]][: CLASSES_SHOWN - 1])
        note = (
            f'{note} The {len(shown)} classes with the most errors; the others are merged.'.strip()
        )
    rest = [k for k in range(size) if occurs[k] and k not in set(shown)]
    groups = [[k] for k in shown] + ([rest] if rest else [])
    row_groups = groups + [[k] for k in range(size, counts.shape[0])]
    column_groups = groups + [[k] for k in range(size, counts.shape[1])]
    small = [[int(counts[np.ix_(a, b)].sum()) for b in column_groups] for a in row_groups]
    return Confusion(
        title, _names(row_groups, rows), _names(column_groups, columns), small, often, note
    )


def _names(groups: Iterable[Sequence[int]], names: Sequence[str]) -> list[str]:
    return [names[group[0]] if len(group) == 1 else f'{len(group)} others' for group in groups]


def number(value: float) -> float | None:
    """A value for JSON: None if it is not finite."""
    return float(value) if np.isfinite(value) else None
