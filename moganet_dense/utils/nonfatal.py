"""Operations whose failure does not stop the run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import reason_of


@contextmanager
def nonfatal(what: str) -> Iterator[None]:
    """Context that replaces any error with a warning of one line."""
    try:
        yield
    except Exception as error:
        reason = reason_of(error)[:200]
        words = f'{what} failed, the run continues: {reason} [{type(error).__name__}]'
        from mmengine.logging import print_log

        print_log(words, 'current', logging.WARNING)
