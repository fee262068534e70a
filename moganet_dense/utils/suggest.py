"""Suggestions for "did you mean": the names most similar to an unknown one."""

import difflib
from collections.abc import Iterable


def closest(name: str, names: Iterable[str], count: int = 3, least: float = 0.0) -> list[str]:
    """The names most similar to ``name``, best first, ignoring case and ``-`` versus ``_``.

    Args:
        name: the unknown name.
        names: the valid names.
        count: maximum number of results.
        least: minimum similarity, from 0 (any) to 1 (equal).
    """
    wanted, similarity = _plain(name), {}
    for other in names:
        ratio = difflib.SequenceMatcher(None, _plain(other), wanted).ratio()
        if ratio >= least:
            similarity[other] = ratio
    return sorted(similarity, key=lambda other: -similarity[other])[:count]


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """'; did you mean ...?' if one of the names is close, else ''."""
    close = closest(str(name), map(str, names), 1, 0.6)
    return f'; did you mean {close[0]!r}?' if close else ''


def _plain(name: str) -> str:
    return str(name).lower().replace('-', '_')
