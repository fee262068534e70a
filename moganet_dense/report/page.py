"""The report as one HTML file without external requests."""

import datetime
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader

from ..config.config_text import parse
from ..evaluation.metric_names import plain_name
from .plots import Plot, plot
from .runs import Run, WorkDir

CHANGED_SHOWN = 400
"""Maximum number of characters shown of a config value."""


def page(dirs: Sequence[WorkDir]) -> str:
    """The page of a work dir, or of two side by side."""
    template = environment().get_template('page.html')
    return template.render(
        title=' and '.join(d.name for d in dirs),
        sides=[_side(d) for d in dirs],
        metrics=_metrics(dirs),
        curves=_curves(dirs),
        precision=_precision(dirs),
        changes=_class_changes(dirs),
        config_changes=_config_changes(dirs),
        now=_date(datetime.datetime.now().timestamp()),
    )


def environment() -> Environment:
    """Templates of this package; all values are escaped."""
    found = Environment(
        loader=PackageLoader('moganet_dense.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(figure=figure, share=_share, short=_short)
    return found


def figure(value: Any) -> str:
    """A formatted number; a dash for None."""
    if value is None:
        return '–'
    if isinstance(value, (str, bool)):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f'{int(value):,}'.replace(',', ' ')
    return f'{value:.3f}' if abs(value) < 10 else f'{value:.2f}'


def _share(value: Any) -> str:
    """The filled share of a bar in percent."""
    in_range = isinstance(value, float) and 0 <= value <= 1
    return f'{100 * value:.1f}%' if in_range else '0%'


def _short(text: str) -> str:
    return text if len(text) <= CHANGED_SHOWN else f'{text[:CHANGED_SHOWN]} ...'


def _date(seconds: float | None) -> str:
    if not seconds:
        return ''
    return datetime.datetime.fromtimestamp(seconds).strftime('%Y-%m-%d %H:%M')


def _side(found: WorkDir) -> dict[str, Any]:
    """The data of one work dir for the page."""
    run, trained = found.evaluated, found.trained
    shown = trained if trained and trained.facts else found.last
    return dict(
        name=found.name,
        path=str(found.path),
        evaluation=run.evaluation if run else {},
        evaluated=_evaluated(run) if run else '',
        facts=shown.facts,
        config=shown.config or found.last.config,
        speed=_speed(found),
        data=found.data,
        runs=[_run(run) for run in reversed(found.runs)],
    )


def _evaluated(run: Run) -> str:
    found = run.evaluation
    if found.get('mode') == 'test':
        return f'test of {run.facts.get("weights", "unknown weights")}, {_date(found.get("ended"))}'
    return f'validation after iteration {found.get("iteration")}, {_date(found.get("ended"))}'


def _run(run: Run) -> dict[str, str]:
    facts = run.facts
    ended = facts.get('ended')
    took = 'unknown: not finished'
    if ended and 'began' in facts:
        took = f'{(ended - facts["began"]) / 60:.1f} minutes'
    return dict(
        folder=run.folder.name,
        mode=run.mode,
        command=' '.join(facts.get('command', [])) or 'not recorded',
        weights=facts.get('weights', 'not recorded'),
        commit=facts.get('commit', 'not recorded'),
        took=took if facts else 'not recorded',
    )


def _speed(found: WorkDir) -> list[tuple[str, str]]:
    rows = []
    run = found.trained
    if run and (times := [row['time'] for row in run.rows if 'lr' in row and 'time' in row]):
        middle = sorted(times)[len(times) // 2]
        rows.append(('training', f'{figure(middle)} s per iteration (median of the log)'))
        waiting = [row['data_time'] for row in run.rows if 'lr' in row and 'data_time' in row]
        if waiting:
            rows.append(
                ('of which waiting for data', f'{sorted(waiting)[len(waiting) // 2]:.3f} s')
            )
        if (batch := run.facts.get('batch')) and middle > 0:
            images = batch * run.facts.get('processes', 1) / middle
            rows.append(('images per second', f'{images:.1f}'))
    for shown in {id(r): r for r in (run, found.evaluated) if r}.values():
        for key, name in (('memory', 'memory of the process'), ('gpu_memory', 'GPU memory')):
            if value := shown.facts.get(key):
                rows.append((f'{name}, {shown.mode}', f'{value:.0f} MB at most'))
    if found.evaluated and (evaluation := found.evaluated.evaluation).get('seconds'):
        count, seconds = evaluation.get('images', 0), evaluation['seconds']
        words = f'{count} samples in {seconds:.1f} s, {count / seconds:.1f} per second'
        rows.append((f'{evaluation["mode"]} with metrics', words))
    if run and (parameters := run.facts.get('parameters')):
        rows.append(('parameters', f'{parameters / 1e6:.2f} M'))
    return rows


def _metrics(dirs: Sequence[WorkDir]) -> list[tuple[str, list[Any], float | None]]:
    """(name, value of each side, difference of two)."""
    found = [d.evaluated.evaluation.get('metrics', {}) if d.evaluated else {} for d in dirs]
    names = [name for name in dict.fromkeys(n for m in found for n in m)
             if name not in ('time', 'data_time')]  # fmt: skip
    return [(plain_name(name), values := [m.get(name) for m in found], _difference(values))
            for name in names]  # fmt: skip


def _difference(values: Sequence[Any]) -> float | None:
    numbers = [v for v in values if isinstance(v, (int, float))]
    return numbers[1] - numbers[0] if len(numbers) == len(values) == 2 else None


def _curves(dirs: Sequence[WorkDir]) -> list[Plot]:
    found = []
    for title, runs in _by_title([d.validation() for d in dirs]):
        steps = [x for lines in runs for line in lines.values() for x, _ in line]
        unit = 'epoch' if max(steps) < 2000 and _by_epoch(dirs) else 'iteration'
        found.append(plot(f'Validation: {title.lower()}', runs, unit))
    for title, runs in _by_title([d.training() for d in dirs]):
        found.append(plot(title, runs, 'iteration'))
    return found


def _by_epoch(dirs: Sequence[WorkDir]) -> bool:
    return any('by_epoch=True' in d.last.config for d in dirs)


def _by_title(found: Sequence[dict]) -> list[tuple[str, list]]:
    titles = dict.fromkeys(title for series in found for title in series)
    return [(title, [series.get(title, {}) for series in found]) for title in titles]


def _precision(dirs: Sequence[WorkDir]) -> list[Plot]:
    found = [d.evaluated.evaluation.get('curves', []) if d.evaluated else [] for d in dirs]
    by_title = [{curve['title']: curve for curve in curves} for curves in found]
    plots = []
    for title, curves in _by_title(by_title):
        dots = any(curve and curve['dots'] for curve in curves)
        lines = [
            {name: [value] for name, value in curve['dots'].items()} if dots else curve['lines']
            for curve in (c or dict(dots={}, lines={}) for c in curves)
        ]
        note = next((curve.get('note', '') for curve in curves if curve), '')
        plots.append(plot(title, lines, 'recall', dots=dots, unit_square=True, note=note))
    return plots


def _class_changes(dirs: Sequence[WorkDir]) -> list[dict[str, Any]]:
    """For tables of both sides: main value by class and its difference."""
    if len(dirs) != 2 or not all(d.evaluated for d in dirs):
        return []
    tables = [
        {t['title']: t for t in d.evaluated.evaluation.get('tables', []) if len(t['columns']) > 2}
        for d in dirs
    ]
    found = []
    for title in tables[0]:
        if title not in tables[1]:
            continue
        first, second = ({row[0]: row[2] for row in side[title]['rows']} for side in tables)
        rows = [
            (name, [first.get(name), second.get(name)],
             _difference([first.get(name), second.get(name)]))
            for name in dict.fromkeys([*first, *second])
        ]  # fmt: skip
        rows.sort(key=lambda row: -abs(row[2] or 0))
        found.append(dict(title=title, figure=tables[0][title]['columns'][2], rows=rows))
    return found


def _config_changes(dirs: Sequence[WorkDir]) -> list[tuple[str, str, str]]:
    """Differences between the configs of both sides, parsed as text without running them."""
    if len(dirs) != 2:
        return []
    from ..engine.run_info import differences

    texts = [(d.trained or d.last).config for d in dirs]
    if not all(texts):
        return []
    try:
        first, second = map(parse, texts)
    except ValueError as error:
        return [('(not compared)', f'a config is not text written by mmengine: {error}', '')]
    skipped = ('work_dir', 'launcher')
    return [row for row in differences(first, second) if row[0] not in skipped]
