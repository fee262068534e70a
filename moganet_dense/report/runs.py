"""Reads the runs of a work dir: mmengine's logs and the files of ``record_hook``.

Everything is read as data: the config is text, see ``config_text``, and files are checked by
``schema``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import config_text
from ..config.model_files import near_work_dir
from ..utils.errors import UserError
from ..utils.file_kinds import kind_of
from ..utils.regular_files import read_regular
from . import schema
from .schema import read_record

MAX_RUNS = 5000
MAX_LOG_BYTES = 64 * 2**20
MAX_LOG_VALUES = 2_000_000
MAX_LOG_NAMES = 300
MAX_LINE = 100_000
"""Limits of a log: a million iterations, logged every tenth, have 700 000 values."""

RUN, EVALUATION, DATA_SUMMARY = 'run.json', 'evaluation.json', 'data_summary.json'
"""Files of the hook: metadata of the run, and its last evaluation."""

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
    """One start of train or test: its folder and content."""

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
    data: list[dict[str, Any]] = field(default_factory=list)
    """What of the data the last training used, by split."""

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
        """Metrics by title, over epochs or iterations, as logged."""
        found: dict[str, Series] = {}
        for row in self._rows(lambda row: not _is_training(row)):
            for name, value in _figures(row):
                if name not in ('time', 'data_time'):
                    series = found.setdefault(_metric_group(name), {})
                    series.setdefault(name, []).append((row['step'], value))
        return found

    def _rows(self, wanted) -> list[dict[str, Any]]:
        """Rows of the last training, whatever the number of its starts.

        After resuming, repeated iterations replace the earlier ones; a start without resuming
        replaces all.
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
    """All runs of a work dir.

    Raises:
        UserError: there is no run in it; or a file of a run cannot be read, or is not one.
    """
    if not path.is_dir():
        raise UserError(f'{path}: expected a work dir of train or test, found {kind_of(path)}')
    try:
        folders = sorted(p for p in path.iterdir() if p.is_dir())
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from None
    if len(folders) > MAX_RUNS:
        raise UserError(
            f'{path}: expected a work dir of at most {MAX_RUNS} runs, found {len(folders)} folders'
        )
    runs = [run for folder in folders if (run := _read_run(folder, path.resolve()))]
    if not runs:
        raise UserError(
            f'{path}: expected a work dir of train or test, with '
            'TIMESTAMP/vis_data/scalars.json or TIMESTAMP/run.json; found none'
            + (f'; {meant}' if (meant := near_work_dir(path)) else '')
        )
    data = read_record(_inside(path / DATA_SUMMARY, path.resolve()), schema.DATA, [])
    return WorkDir(path, runs, data)


def _read_run(folder: Path, root: Path) -> Run | None:
    try:
        names = ('vis_data/scalars.json', 'vis_data/config.py', RUN, EVALUATION)
        log, config, run, found = (_inside(folder / name, root) for name in names)
        rows = list(_rows(log)) if log.exists() else []
        facts = read_record(run, schema.RUN)
        evaluation = read_record(found, schema.EVALUATION)
        if not (rows or facts or evaluation):
            return None
        text = _text(config, config_text.MAX_CHARACTERS) if config.exists() else ''
    except OSError as error:
        where = error.filename or folder
        raise UserError(f'{where} cannot be read: {error.strerror}') from None
    return Run(folder, facts, evaluation, rows, text)


def _inside(path: Path, root: Path) -> Path:
    """The path, unless a link leads out of the work dir: any file of the user's could be shown in
    the report of a work dir of somebody else.

    Raises:
        UserError: it does.
    """
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links in a circle
        return path
    if path.exists() and not inside:
        raise UserError(
            f'{path} cannot be read: it is a link out of the work dir; put a copy in its place'
        )
    return path


def _text(path: Path, limit: int) -> str:
    return read_regular(path, limit).decode('utf-8', 'replace')


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a log: numbers by name; a last line that a kill truncated is skipped.

    Raises:
        UserError: there are more than a log may have.
    """
    kept, names = 0, set()
    for line in _text(path, MAX_LOG_BYTES).splitlines():
        row = _row(line)
        if row is None:
            continue
        kept += len(row)
        names |= set(row)
        if kept > MAX_LOG_VALUES or len(names) > MAX_LOG_NAMES:
            raise UserError(
                f'{path}: expected at most {MAX_LOG_VALUES} values of {MAX_LOG_NAMES} names, '
                'found more; it is not the log of a training'
            )
        yield row


def _row(line: str) -> dict[str, Any] | None:
    """The numbers of a line, if it is a row of a log; other values are ignored."""
    if len(line) > MAX_LINE:
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not _is_figure(row.get('step')):
        return None
    named = ((schema.text(name[:200], ''), value) for name, value in row.items())
    return {name: value for name, value in named if _is_figure(value)}


def _is_figure(value: Any) -> bool:
    """Whether it is a number that can be drawn: finite, and not a bool."""
    return type(value) in (int, float) and abs(value) < 1e18


def _is_training(row: dict[str, Any]) -> bool:
    return 'lr' in row


def _figures(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if name not in _SKIPPED and value != -1:
            yield name, float(value)


def _metric_group(name: str) -> str:
    for part, title in (('bbox', 'Boxes'), ('segm', 'Masks'), ('/AR', 'Average recall')):
        if part in name:
            return title
    return 'Metrics'
