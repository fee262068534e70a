"""Closes connections to peers that send too little.

A peer that sends one byte per second never triggers a socket timeout. So a thread watches the
received bytes, from the connection on.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Watch(threading.Thread):
    """Context that closes connections that are too slow.

    Args:
        minute: length of an interval in seconds; at least ``floor`` bytes have to arrive in each.
        floor: minimum number of bytes in an interval.
        longest: maximum seconds in total.

    Attributes:
        received: bytes of the file so far.
        reason: why a connection was closed; '' if none was.
    """

    def __init__(self, minute: float, floor: int, longest: float) -> None:
        super().__init__(daemon=True)
        self.minute, self.floor, self.longest = minute, floor, longest
        self.received, self.reason = 0, ''
        self._sockets: list[socket.socket] = []
        self._done = threading.Event()

    def __enter__(self) -> 'Watch':
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        for each in self._sockets:
            each.close()

    def connect(self, *args: Any, **options: Any) -> socket.socket:
        """A new connection, watched from the start; arguments of ``socket.create_connection``."""
        made = socket.create_connection(*args, **options)
        self._sockets.append(made.dup())  # TLS uses the other one
        return made

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Replaces the error of a closed connection with the reason.

        Raises:
            OSError: the reason, if there is one.
        """
        try:
            yield
        except Exception:
            if not self.reason:
                raise
        if self.reason:
            raise OSError(self.reason)

    def run(self) -> None:
        start = last = time.monotonic()
        seen = 0
        while not self._done.wait(min(1.0, self.minute / 10)):
            now = time.monotonic()
            if now - start > self.longest:
                self._shut(f'the download lasts longer than {_duration(self.longest)}')
            elif now - last >= self.minute:
                if self.received - seen < self.floor:
                    got = self.received - seen
                    self._shut(f'{got} bytes arrived within {self.minute:g} seconds, too few')
                seen, last = self.received, now

    def _shut(self, reason: str) -> None:
        self.reason = reason
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _duration(seconds: float) -> str:
    return f'{seconds / 3600:g} hours' if seconds >= 3600 else f'{seconds:g} seconds'
