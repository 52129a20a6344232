"""Requests in bytes, as no client library would send them, and what comes back."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INTERNALS = re.compile(
    r"pydantic|https?:|0x[0-9a-f]|<|>|functools|function|validator|validation|constrained|Annotated|union|tagged|_type"
    r"|Request\b|Error\b|\bstr\b|\bint\b|\bbool\b|\bdict|Input should|Value error|Traceback|another value"
)
"""What no error message may hold: words of the validator and of Python."""
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Answer:
    """A response; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def headers(number: int) -> bytes:
    """Return so many headers, each with a name of its own."""
    return b"".join(b"x-%d: 1\r\n" % one for one in range(number))


def request(more: bytes, *, path: bytes = b"/") -> bytes:
    """Return the head of a request with more headers, which ends it."""
    return HEAD.replace(b" / ", b" %b " % path, 1) + more + b"\r\n"


def chunked(body: bytes, *, more: bytes = b"", end: bytes = b"\r\n", path: bytes = b"/") -> bytes:
    """Return a request whose body is a chunk; ``end`` follows the last chunk."""
    head = request(b"Transfer-Encoding: chunked\r\n" + more, path=path)
    return head + b"%x\r\n%b\r\n0\r\n%b" % (len(body), body, end)


def exchange(port: int, *parts: bytes, seconds: float = 30) -> bytes:
    """Send bytes over a connection of their own, each part by itself, and return all that comes until it is closed.

    It is also left when nothing comes for so many seconds.
    """
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError, TimeoutError):  # it closed before it had all
            for part in parts:
                client.sendall(part)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := client.recv(65_536):
                received += part
    return bytes(received)


def answers(received: bytes) -> list[Answer]:
    """Return the responses among the bytes of a connection; each has a declared length."""
    found = []
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        assert separator and head.startswith(b"HTTP/1.1 "), head
        lines = head.decode("latin-1").split("\r\n")
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(named["content-length"])
        found.append(Answer(int(lines[0].split()[1]), named, received[:length]))
        received = received[length:]
    return found
