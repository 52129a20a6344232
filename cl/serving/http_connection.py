"""One client's connection: bounds on what uvicorn itself would wait for and keep without end."""

from __future__ import annotations

import asyncio
import random
import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
HEADER_BYTES = 65_536
LAST_SECONDS = 0.5
LIFETIME = 45.0
"""Seconds, a third more or less, after which an answer is a connection's last: the client opens another, and any worker
may get it, so that those that came late, or in the place of a dead one, get their share of the clients."""
REQUEST_BYTES = 256 * 2**20
"""What a client may send for one request: a refused body is read to its end, so that the client sees the refusal."""


class HttpConnection(HttpToolsProtocol):
    """Closes on headers that do not come, on requests without an end, and after an answer when it is old."""

    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _in_headers = True
    _old_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first headers."""
        super().connection_made(transport)
        self._old_at = time.monotonic() + LIFETIME * random.uniform(2 / 3, 4 / 3)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes within the bounds."""
        self._received += len(data)
        if self._received > (HEADER_BYTES + len(data) if self._in_headers else REQUEST_BYTES):
            self.transport.abort()
            return
        super().data_received(data)

    def shutdown(self) -> None:
        """Close when the server stops: between two requests only after a moment, for one may be on its way."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_SECONDS, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def on_message_begin(self) -> None:
        """Begin to wait for a request's headers."""
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        """Wait no longer: from here on the application does."""
        self._wait_no_longer()
        self._in_headers = False
        super().on_headers_complete()
        if self.cycle is not None and time.monotonic() > self._old_at:
            self.cycle.keep_alive = False

    def _await_headers(self) -> None:
        self._wait_no_longer()
        self._in_headers, self._received = True, 0
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _wait_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
