"""Reads back what runs left in a work dir: mmengine's logs, and what ``hook`` noted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.errors import UserError

RUN, EVALUATION = 'run.json', 'evaluation.json'
"""What the hook of a run writes: what was run, and its last evaluation."""

Series = dict[str, list[tuple[float, float]]]
"""(step, value) by name."""

_SKIPPED = {'step', 'iter', 'epoch', 'base_lr'}
_GROUPS = (
    ('Learning rate', lambda name: name == 'lr'),
    ('Gradient norm', lambda name: name == 'grad_norm'),
    ('Seconds per iteration', lambda name: name in ('time', 'data_time')),
    ('GPU memory, MB', lambda name: name == 'memory'),
    ('Loss', lambda name: 'loss' in name),
    ('Accuracy in training', lambda name: True),
)
_ORDER = ('Loss', 'Accuracy in training', 'Learning rate', 'Gradient norm',
          'Seconds per iteration', 'GPU memory, MB')  # fmt: skip


@dataclass
class Run:
    """One start of train or test: its folder, and what is in it."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    config: str = ''

    @property
    def mode(self) -> str:
        return self.facts.get('mode') or ('train' if self.rows else 'test')


@dataclass
class WorkDir:
    """The runs of a work dir, the oldest first."""

    path: Path
    runs: list[Run]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def evaluated(self) -> Run | None:
        """The run with the last evaluation."""
        found = [run for run in self.runs if run.evaluation]
        return max(found, key=lambda run: run.evaluation.get('ended', 0), default=None)

    @property
    def trained(self) -> Run | None:
        """The last training."""
        return next((run for run in reversed(self.runs) if run.mode == 'train'), None)

    @property
    def last(self) -> Run:
        return self.runs[-1]

    def training(self) -> dict[str, Series]:
        """Curves of the training by title, over iterations."""
        found: dict[str, Series] = {title: {} for title in _ORDER}
        for row in self._rows(lambda row: _is_training(row)):
            for name, value in _figures(row):
                title = next(title for title, belongs in _GROUPS if belongs(name))
                found[title].setdefault(name, []).append((row['step'], value))
        return {title: series for title, series in found.items() if series}

    def validation(self) -> dict[str, Series]:
        """Metrics by title, over epochs or iterations as they were logged."""
        found: dict[str, Series] = {}
        for row in self._rows(lambda row: not _is_training(row)):
            for name, value in _figures(row):
                if name not in ('time', 'data_time'):
                    series = found.setdefault(_metric_group(name), {})
                    series.setdefault(name, []).append((row['step'], value))
        return found

    def _rows(self, wanted) -> list[dict[str, Any]]:
        """Rows of the last training, whatever the number of its starts.

        What a start did again, since it resumed from before, replaces what was done; one that
        did not resume replaces all.
        """
        rows: list[dict[str, Any]] = []
        for run in self.runs:
            new = [row for row in run.rows if wanted(row)]
            if new or run.rows:
                fresh = run.facts and not run.facts.get('weights', '').startswith('resumed')
                first = new[0]['step'] if new else float('inf')
                rows = [] if fresh else [row for row in rows if row['step'] < first]
            rows += new
        return rows


def read_work_dir(path: Path) -> WorkDir:
    """What all runs of a work dir noted.

    Raises:
        UserError: there is no run in it.
    """
    folders = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    runs = [run for run in map(_read_run, folders) if run]
    if not runs:
        raise UserError(
            f'{path}: expected a work dir of train or test, which holds '
            'TIMESTAMP/vis_data/scalars.json or TIMESTAMP/run.json; found none'
        )
    return WorkDir(path, runs)


def _read_run(folder: Path) -> Run | None:
    rows = list(_lines(folder / 'vis_data' / 'scalars.json'))
    facts, evaluation = (_json(folder / name) for name in (RUN, EVALUATION))
    config = folder / 'vis_data' / 'config.py'
    if not (rows or facts or evaluation):
        return None
    text = config.read_text(encoding='utf-8', errors='replace') if config.is_file() else ''
    return Run(folder, facts, evaluation, rows, text)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(f'{path} cannot be read as JSON ({error}); remove it') from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a log; a last line that a kill cut off is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get('step'), (int, float)):
            yield row


def _is_training(row: dict[str, Any]) -> bool:
    return 'lr' in row


def _figures(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name not in _SKIPPED and number and abs(value) < float('inf') and value != -1:
            yield name, float(value)


def _metric_group(name: str) -> str:
    for part, title in (('bbox', 'Boxes'), ('segm', 'Masks'), ('/AR', 'Average recall')):
        if part in name:
            return title
    return 'Metrics'
