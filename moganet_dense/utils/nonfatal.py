"""What may fail without taking the run with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nonfatal(what: str) -> Iterator[None]:
    """Turns any error within into a warning of one line."""
    try:
        yield
    except Exception as error:
        reason = ' '.join(str(error).split())[:200]
        words = f'{what} failed, and the run goes on: {reason} [{type(error).__name__}]'
        from mmengine.logging import print_log

        print_log(words, 'current', logging.WARNING)
