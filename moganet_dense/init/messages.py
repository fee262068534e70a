"""The output of ``init``: what it found, skipped and wrote, and the next commands."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..data.data_summary import Summary
from ..data.tasks import TASKS
from ..data.validation import Finding, all_findings
from . import Result, init


def run(data: str, **options: Any) -> Iterator[str]:
    """Creates the config; yields the lines to print.

    Args:
        data: the folder.
        options: those of ``init``.
    """
    yield from lines(init(data, **options))


def lines(result: Result) -> Iterator[str]:
    """The lines about the result."""
    data, recipe = result.data, result.recipe
    yield f'found: {data.format}, for {TASKS[result.task]}'
    yield from result.rare
    yield from _similar(data.classes)
    for key, name in result.others.items():
        yield f'also found: {name}, not used; --format {key} reads it'
    counts = {k: sum(s.split == k for s in data.samples) for k in ('train', 'val', 'test')}
    yield 'images: ' + ', '.join(f'{count} {split}' for split, count in counts.items() if count)
    for tally, word in ((data.left_out, 'skipped'), (data.changed, 'changed')):
        for line in tally.lines():
            yield f'{word}: {line}'
    if result.leaks:
        yield (
            f'warning: {result.leaks} validation images are the same as training images, or look '
            'like them: metrics may be too good'
        )
    length = f'{recipe.epochs} epochs' if recipe.epochs else f'{recipe.iterations} iterations'
    yield f'recipe: batch {recipe.batch_size}, learning rate {recipe.lr:g}, {length}'
    yield from _checked(result)
    yield f'written: {result.config}, {result.folder}/'
    config = shlex.quote(str(result.config))
    yield f'next: moganet-dense browse {config}; moganet-dense train {config}'


def _similar(classes: list[str]) -> Iterator[str]:
    """Classes whose names differ in case or spaces alone, which are often meant to be one."""
    by_name: dict[str, list[str]] = {}
    for name in classes:
        by_name.setdefault(re.sub(r'[\s_-]+', '', name).casefold(), []).append(name)
    for names in by_name.values():
        if len(names) > 1:
            yield f'warning: classes with almost the same name: {", ".join(map(repr, names))}'


def _checked(result: Result) -> Iterator[str]:
    """The summary of the written data as training reads it, and the findings of the check."""
    summary = Summary()
    for found in all_findings(Config.fromfile(result.config), summary=summary):
        text = f'{found.rule}, found {found.found}' if isinstance(found, Finding) else found
        yield f'warning: {text}'
    yield from summary.lines()
