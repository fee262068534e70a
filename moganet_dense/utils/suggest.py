"""Names for "did you mean": those most like one that is not among them."""

import difflib
from collections.abc import Iterable


def closest(name: str, names: Iterable[str], count: int = 3, least: float = 0.0) -> list[str]:
    """The names most like ``name``, best first; case and the choice of ``-`` or ``_`` do not count.

    Args:
        name: what was given.
        names: what there is.
        count: how many are returned, at most.
        least: similarity that a name needs, from 0 (any) to 1 (the same).
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
