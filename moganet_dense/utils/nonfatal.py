"""What may fail without taking the run with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import reason_of


@contextmanager
def nonfatal(what: str) -> Iterator[None]:
    """Turns any error within into a warning of one line."""
    try:
        yield
    except Exception as error:
        reason = reason_of(error)[:200]
        words = f'{what} failed, and the run goes on: {reason} [{type(error).__name__}]'
        from mmengine.logging import print_log

        print_log(words, 'current', logging.WARNING)
