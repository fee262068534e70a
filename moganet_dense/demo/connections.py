"""Connections with a time limit: silent clients do not block others."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 100  # at once; a browser opens six
SILENT = 40  # of them without a request yet; the oldest is closed for a new one
SECONDS_TO_ASK = 10
SECONDS_TO_BE_ANSWERED = (
    900  # up to 15 images may wait before it; clients that do not read are disconnected
)


class Connection(H11Protocol):
    """uvicorn's connection, closed if the head of a request does not arrive in time.

    uvicorn closes connections that are silent after a first request, but not before or during
    one.
    """

    asked_until: asyncio.TimerHandle | None = None
    silent_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        silent = [each for each in self.connections if each.silent_since is not None]
        if len(silent) >= SILENT:
            oldest = min(silent, key=lambda each: each.silent_since)
            oldest.transport.abort()
            self.connections.discard(oldest)  # it no longer counts
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked and self.silent_since is not None:
            self.silent_since = None
            self._close_in(SECONDS_TO_BE_ANSWERED)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked_until:
            self.asked_until.cancel()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        asked = self.cycle is not None and not self.cycle.response_complete  # of a pipeline
        self.silent_since = None if asked else time.monotonic()
        self._close_in(SECONDS_TO_BE_ANSWERED if asked else SECONDS_TO_ASK)

    def _close_in(self, seconds: float) -> None:
        if self.asked_until:
            self.asked_until.cancel()
        self.asked_until = self.loop.call_later(seconds, self.transport.abort)
