"""SIGTERM, SIGHUP and Ctrl-C end a command in one line, after what it has to clean up.

Commands that finish and write something first, training and ``predict``, have handlers of their
own while they do.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .errors import Interrupted
from .system import SIGNALS

BOUNCE = 1.0
"""Seconds in which signals are one: GNU timeout and schedulers signal a process and then its group,
torchrun passes on what its workers got already, keys bounce."""

Handler = Callable[[int, Any], None]


def install(handler: Handler) -> dict[int, Any]:
    """Sets the handler of ``SIGNALS``, but of those that are ignored, as SIGHUP under nohup.

    Only a main thread can; nothing is done in others.

    Returns:
        the handlers before, for :func:`restore`.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def restore(before: dict[int, Any]) -> None:
    """Sets the handlers that :func:`install` found."""
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Calls ``handler`` for ``SIGNALS`` within."""
    before = install(handler)
    try:
        yield
    finally:
        restore(before)


def bounces() -> bool:
    """Whether the signal that has just come belongs to the one before it; notes its time."""
    before, _heard.last = _heard.last, time.monotonic()
    return _heard.last - before < BOUNCE


class _Heard:
    """Of this process: when the last signal came, and how many contexts listen."""

    last, listening = -math.inf, 0


_heard = _Heard()


@contextmanager
def ending_by_signals(more: Callable[[], str] = str) -> Iterator[None]:
    """Within, a signal is said and ends what runs; those that bounce are not heard.

    A later one interrupts the cleaning up, too. Processes that are forked within have Python's
    handlers again when a signal reaches them.

    Args:
        more: the rest of the line.

    Raises:
        Interrupted: a signal came.
    """
    owner = os.getpid()

    def stop(number: int, frame: Any) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not bounces():
            say(f'stopped by {signal.Signals(number).name}{more()}')
            raise Interrupted(number)

    if not _heard.listening:
        _heard.last = -math.inf
    _heard.listening += 1
    try:
        with handling(stop):
            yield
    finally:
        _heard.listening -= 1


def say(text: str) -> None:
    """Prints from a signal handler, where a buffered stream may be in the middle of a write."""
    with suppress(OSError):
        os.write(2, f'{text}\n'.encode(sys.getfilesystemencoding(), 'backslashreplace'))
