"""The schema of ``run.json`` and ``evaluation.json``, with size limits.

A work dir may come from an untrusted source. A rule is a function of a value and of its path in the
file; it returns the value, or raises ValueError with what was expected and found. Keys without a
rule are ignored.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ..utils.errors import UserError
from ..utils.printable import printable
from ..utils.regular_files import read_regular

Rule = Callable[[Any, str], Any]

MAX_BYTES = 64 * 2**20
MAX_VALUES = 1_000_000
"""Maximum number of values in a file; Python needs about 60 bytes for each."""


def read_record(path: Path, rule: Rule, absent: Any = None) -> Any:
    """The content of a JSON file that a run wrote; ``absent``, or {}, if there is none.

    Raises:
        UserError: it cannot be read, or does not match ``rule``.
    """
    if not path.exists():
        return {} if absent is None else absent
    try:
        content = read_regular(path, MAX_BYTES)
        if sum(map(content.count, (b',', b'[', b'{'))) > MAX_VALUES:
            raise ValueError(f'expected at most {MAX_VALUES} values, found more')
        return rule(json.loads(content.decode('utf-8')), '')
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{path} was not written by a run: {printable(error, 200)}; move it out of the work '
            'dir to create the report without it'
        ) from None


def text(value: Any, place: str, limit: int = 10_000) -> str:
    """A string; lone surrogates, which cannot be written, are escaped."""
    if not isinstance(value, str) or len(value) > limit:
        _refuse(f'a string of at most {limit} characters', value, place)
    return value.encode(errors='backslashreplace').decode()


def number(value: Any, place: str) -> float:
    """A finite number of a size that can be drawn."""
    if type(value) not in (int, float) or not abs(value) < 1e18:  # NaN compares false
        _refuse('a finite number', value, place)
    return value


def count(value: Any, place: str) -> int:
    """An integer from 0 on."""
    if type(value) is not int or not 0 <= value < 10**18:
        _refuse('an integer from 0 on', value, place)
    return value


def seconds(value: Any, place: str) -> float:
    """Seconds: a time since 1970, or a duration."""
    if not 0 <= number(value, place) < 1e11:
        _refuse('seconds from 0 on', value, place)
    return value


def image_url(value: Any, place: str) -> str:
    """An image embedded in the file: the page must not make external requests."""
    if not text(value, place, 16 * 2**20).startswith('data:image/'):
        _refuse('an image as data:image/...', value, place)
    return value


def one_of(*allowed: str) -> Rule:
    """One of some strings."""

    def rule(value: Any, place: str) -> str:
        if value not in allowed:
            _refuse(' or '.join(allowed), value, place)
        return value

    return rule


def either(*rules: Rule) -> Rule:
    """None, or a value that matches one of the rules."""

    def rule(value: Any, place: str) -> Any:
        if value is None:
            return None
        for each in rules[:-1]:
            try:
                return each(value, place)
            except ValueError:
                continue
        return rules[-1](value, place)

    return rule


def items(each: Rule, most: int, least: int = 0) -> Rule:
    """A list of so many."""

    def rule(value: Any, place: str) -> list:
        if not isinstance(value, list) or not least <= len(value) <= most:
            _refuse(f'a list of {least} to {most}', value, place)
        return [each(item, f'{place}[{index}]') for index, item in enumerate(value)]

    return rule


def names(each: Rule, most: int) -> Rule:
    """An object with any strings as keys."""

    def rule(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > most:
            _refuse(f'an object of at most {most} keys', value, place)
        return {text(k, place, 500): each(v, f'{place}.{k}'[:200]) for k, v in value.items()}

    return rule


def record(required: dict[str, Rule], optional: dict[str, Rule] | None = None) -> Rule:
    """An object with these keys."""
    rules = required | (optional or {})

    def rule(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            _refuse('an object', value, place)
        if missing := [key for key in required if key not in value]:
            _refuse(f'the key {missing[0]}', value, place)
        kept = {key: each for key, each in rules.items() if key in value}
        return {key: each(value[key], f'{place}.{key}' if place else key)
                for key, each in kept.items()}  # fmt: skip

    return rule


def rectangular(value: Any, place: str) -> dict[str, Any]:
    """A confusion matrix: a row of counts for each name, a count for each column."""
    found = _confusion(value, place)
    shape = [len(row) for row in found['counts']]
    if shape != [len(found['columns'])] * len(found['rows']):
        _refuse('counts of a number for each row and column', value, place)
    return found


def table(value: Any, place: str) -> dict[str, Any]:
    """A table: rows of a name and figures, one for each column."""
    found = _table(value, place)
    for index, row in enumerate(found['rows']):
        if len(row) != len(found['columns']) or not isinstance(row[0], str):
            _refuse('a name and a figure for each column', row, f'{place}.rows[{index}]')
    return found


def _refuse(expected: str, found: Any, place: str) -> NoReturn:
    long = isinstance(found, (list, dict))
    shown = f'a {type(found).__name__} of {len(found)}' if long else printable(repr(found), 60)
    raise ValueError(f'{place or "the file"}: expected {expected}, found {shown}')


_NAME = text
_POINT = items(number, 2, 2)
_CHANGES = items(items(text, 3, 3), 20_000)
_FIGURE = either(number, text)
_confusion = record(
    dict(title=text, rows=items(_NAME, 200), columns=items(_NAME, 200),
         counts=items(items(count, 200), 200)),
    dict(often=items(items(either(count, text), 3, 3), 200), note=text),
)  # fmt: skip
_table = record(
    dict(title=text, columns=items(_NAME, 40, 1), rows=items(items(_FIGURE, 40, 1), 50_000)),
    dict(note=text),
)
_EXAMPLE = record(
    dict(name=text, score=number, truth=image_url, prediction=image_url), dict(note=text)
)
_CURVES = record(
    dict(title=text, lines=names(items(_POINT, 10_000, 1), 200), dots=names(_POINT, 2000)),
    dict(note=text),
)

RUN = record(
    dict(mode=one_of('train', 'test')),
    dict(
        command=items(text, 1000), config=text, weights=text, commit=text, began=seconds,
        ended=seconds, batch=either(number), processes=count, parameters=count, memory=number,
        gpu_memory=number, over_base=_CHANGES, over_file=_CHANGES, environment=names(text, 200),
    ),
)  # fmt: skip
"""``run.json``."""

EVALUATION = record(
    dict(mode=one_of('val', 'test')),
    dict(
        task=text, ended=seconds, seconds=seconds, images=count, iteration=count, epoch=count,
        metrics=names(_FIGURE, 2000), tables=items(table, 50), confusion=either(rectangular),
        curves=items(_CURVES, 50), best=items(_EXAMPLE, 50), worst=items(_EXAMPLE, 50),
        ranking=text,
    ),
)  # fmt: skip
"""``evaluation.json``."""

DATA = items(
    record(
        dict(split=one_of('train', 'val', 'test'), unit=one_of('instances', 'pixels'), images=count,
             images_used=count, instances=count, instances_used=count),
        dict(
            dropped_images=names(count, 200),
            dropped_instances=names(count, 200), per_class=names(count, 50_000),
            notes=items(text, 200), source=text,
        ),
    ),
    20,
)  # fmt: skip
"""``data_summary.json``."""
