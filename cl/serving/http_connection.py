"""A client connection with bounds on headers, request size and lifetime, which uvicorn lacks."""

from __future__ import annotations

import asyncio
import random
import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
HEADER_BYTES = 65_536
LAST_SECONDS = 0.5
LIFETIME = 45.0
"""Seconds, give or take a third, after which a connection closes with its next answer. The client reconnects to any
worker, so that new and restarted workers get their share of the clients."""
REQUEST_BYTES = 256 * 2**20
"""Most bytes of one request: a rejected body is read to its end, so that the client sees the error response."""


class HttpConnection(HttpToolsProtocol):
    """Closes on missing headers, on endless requests, and after an answer once it has expired."""

    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _in_headers = True
    _expires = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first headers."""
        super().connection_made(transport)
        self._expires = time.monotonic() + LIFETIME * random.uniform(2 / 3, 4 / 3)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Accept bytes within the bounds."""
        self._received += len(data)
        if self._received > (HEADER_BYTES + len(data) if self._in_headers else REQUEST_BYTES):
            self.transport.abort()
            return
        super().data_received(data)

    def shutdown(self) -> None:
        """Close when the server stops; an idle connection only after a delay, as a request may be in transit."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_SECONDS, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def on_message_begin(self) -> None:
        """Start the deadline of a request's headers."""
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        """Cancel the deadline; the application bounds the body."""
        self._cancel_deadline()
        self._in_headers = False
        super().on_headers_complete()
        if self.cycle is not None and time.monotonic() > self._expires:
            self.cycle.keep_alive = False

    def _await_headers(self) -> None:
        self._cancel_deadline()
        self._in_headers, self._received = True, 0
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
