"""A client connection with bounds on headers, trailers, request size and lifetime, which uvicorn lacks.

What an application does with a header may take time that grows with the square of their number, and of the length of a
cookie, so that a small request could hold a worker for a minute. Here both are bounded before the application sees any.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cl.serving.error_body import error_body

HEADERS = 100
"""Most headers and trailers of a request."""
HEADER_BYTES = 32_768
"""Most bytes of them together, with the path; also of anything else between two parts of a body."""
HEADER_SECONDS = 10.0
REST_SECONDS = 30.0
"""Time limit for the rest of a body whose answer has been sent."""
LAST_SECONDS = 0.5
LIFETIME = 45.0
"""Seconds, give or take a third, after which a connection closes with its next answer. The client reconnects to any
worker, so that new and restarted workers get their share of the clients."""
REQUEST_BYTES = 256 * 2**20
"""Most bytes of one request: a rejected body is read to its end, so that the client sees the error response."""


class TooManyHeadersError(Exception):
    """Raised inside the parser, which stops there."""


class OpenTransport:
    """A transport that drops what is written after its connection was lost, where uvloop raises.

    Uvicorn tells only the last of several requests on a connection that the client is gone.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, content: bytes) -> None:
        """Write where the connection is still open."""
        if not self._transport.is_closing():
            self._transport.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConnection(HttpToolsProtocol):
    """Closes on missing headers, on endless requests, and after an answer once it has expired.

    Cookies and trailers are dropped: nothing here reads them.
    """

    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _since_part = 0
    """Bytes since the last part of a request that was complete: its headers, or a piece of its body."""
    _headers = _header_bytes = 0
    _in_headers = True
    _in_body = False
    _refused = False
    _expires = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first headers."""
        super().connection_made(cast("asyncio.Transport", OpenTransport(transport)))
        self._expires = time.monotonic() + LIFETIME * random.uniform(2 / 3, 4 / 3)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Accept bytes within the bounds."""
        if self._refused:  # read and dropped, so that the client sees the answer
            return
        self._received += len(data)
        self._since_part += len(data)
        if self._received > REQUEST_BYTES:
            self.transport.abort()
        elif self._since_part > HEADER_BYTES + len(data):
            self._refuse_headers()
        else:
            super().data_received(data)
            self._await_next()

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

    def on_url(self, url: bytes) -> None:
        """Count and keep a part of the path."""
        self._count_header(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or a trailer, and keep a header."""
        self._headers += 1
        self._count_header(name + value)
        if self._in_headers and name.lower() != b"cookie":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Cancel the deadline; the application bounds the body."""
        self._cancel_deadline()
        self._in_headers, self._in_body, self._since_part = False, True, 0
        super().on_headers_complete()
        if self.cycle is not None and time.monotonic() > self._expires:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._since_part = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Cancel the deadline of a body that was rejected before its end."""
        self._in_body, self._since_part = False, 0
        self._cancel_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the deadline of what is left of the body."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._start_deadline(REST_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not read on: too many headers, or what is no HTTP request."""
        if self._headers > HEADERS or self._header_bytes > HEADER_BYTES:
            self._refuse_headers()
        else:
            self._refuse(400, "this is no valid HTTP/1.1 request")

    def _count_header(self, content: bytes) -> None:
        self._header_bytes += len(content)
        if self._headers > HEADERS or self._header_bytes > HEADER_BYTES:
            raise TooManyHeadersError

    def _refuse_headers(self) -> None:
        self._refuse(431, f"more than {HEADERS} headers and trailers, or {HEADER_BYTES} bytes of them")

    def _refuse(self, status: int, message: str) -> None:
        """Answer an unreadable request, drop what else the client sends, and close."""
        self._refused = True
        self._cancel_deadline()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._in_headers:  # of the next request: the earlier one keeps its answer
                cycle.keep_alive = False
                return
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True  # this is its answer
            cycle.message_event.set()
        self._write_refusal(status, error_body(status, message))
        self.loop.call_later(LAST_SECONDS, self.transport.close)

    def _write_refusal(self, status: int, content: bytes) -> None:
        headers = [*self.server_state.default_headers, (b"content-type", b"application/json")]
        headers += [(b"content-length", b"%d" % len(content)), (b"connection", b"close")]
        lines = [STATUS_LINE[status], *(name + b": " + value + b"\r\n" for name, value in headers)]
        self.transport.write(b"".join([*lines, b"\r\n", content]))

    def _await_headers(self) -> None:
        self._in_headers, self._received, self._since_part = True, 0, 0
        self._headers = self._header_bytes = 0
        self._start_deadline(HEADER_SECONDS)

    def _await_next(self) -> None:
        """Start the deadline of the next request again, which the end of a rejected body or an empty line ended."""
        idle = self.cycle is not None and self.cycle.response_complete and not self._in_headers and not self._in_body
        if idle and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_deadline(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
