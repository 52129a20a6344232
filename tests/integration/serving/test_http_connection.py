"""A client connection, over a real socket, to an application that says which headers reached it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from cl.serving import http_connection
from cl.serving.http_connection import HEADER_BYTES, HEADERS, HttpConnection
from tests.support.raw_http import HEAD, answers, chunked, exchange, headers, request
from tests.support.servers import free_port, until


class Echo:
    """An application that answers with the headers and the size of the body.

    It answers requests to /early before it has read the body, and those to /late after a while.
    """

    def __init__(self) -> None:
        self.requests = self.answered = 0

    async def __call__(self, scope, receive, send) -> None:
        self.requests += 1
        size, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/late":
            await asyncio.sleep(0.5)
        named = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
        content = json.dumps({"headers": named, "bytes": size}).encode()
        kind = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            await send({"type": "http.response.body", "body": content})
        finally:
            self.answered += 1


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[Echo, int]]:
    echo, port = Echo(), free_port()
    options = {"host": "127.0.0.1", "port": port, "lifespan": "off", "log_config": None, "timeout_keep_alive": 1}
    server = uvicorn.Server(uvicorn.Config(echo, http=HttpConnection, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, seconds=30, what="a server")
    yield echo, port
    server.should_exit = True
    thread.join()


@pytest.fixture
def echo(serving: tuple[Echo, int]) -> Echo:
    serving[0].requests = serving[0].answered = 0
    return serving[0]


@pytest.fixture
def port(serving: tuple[Echo, int]) -> int:
    return serving[1]


@pytest.fixture
def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_an_old_connection_is_closed_with_an_answer_and_a_young_one_is_kept(address, monkeypatch) -> None:
    with httpx.Client(base_url=address) as client:
        assert "Connection" not in client.get("/").headers
        assert "Connection" not in client.get("/").headers
        monkeypatch.setattr(http_connection, "LIFETIME", 0.0)
        with httpx.Client(base_url=address) as late:
            answer = late.get("/")
            assert answer.status_code == 200 and answer.headers["Connection"] == "close"
            assert late.get("/").status_code == 200, "over another one"
        assert "Connection" not in client.get("/").headers, "it was opened before"


LONG = b"a" * (HEADER_BYTES + 1)
BODY = chunked(b"{}", end=b"")
TOO_MANY = {
    "one header too many": request(headers(HEADERS)),
    "thousands of names": request(b"".join(b"a%x:\r\n" % number for number in range(9_000))),
    "thousands of the same": request(b"a:\r\n" * 15_000),
    "thousands of cookies": request(b"cookie: a=1\r\n" * 2_000),
    "a long value": request(b"a: " + LONG + b"\r\n"),
    "a long name": request(LONG + b": a\r\n"),
    "long values together": request(b"".join(b"a%d: %b\r\n" % (number, b"a" * 1_000) for number in range(50))),
    "a long path": request(b"", path=b"/" + LONG),
    "a long query": request(b"", path=b"/?" + b"a=1&" * 20_000),
    "a header that never ends": HEAD + b"a: " + b"a" * 10 * HEADER_BYTES,
    "a name that never ends": HEAD + b"a" * 10 * HEADER_BYTES,
    "a path that never ends": b"GET /" + b"a" * 10 * HEADER_BYTES,
    "trailers": BODY + headers(HEADERS) + b"\r\n",
    "thousands of trailers": BODY + b"t:\r\n" * 15_000 + b"\r\n",
    "a long trailer": BODY + b"t: " + LONG + b"\r\n\r\n",
    "a trailer that never ends": BODY + b"t: " + b"a" * 10 * HEADER_BYTES,
    "a chunk extension that never ends": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 10 * HEADER_BYTES,
    "empty lines that never end": b"\r\n" * 10 * HEADER_BYTES,
}


@pytest.mark.parametrize("sent", TOO_MANY.values(), ids=list(TOO_MANY))
def test_more_than_the_bounds_is_refused_in_a_line_and_the_connection_closed(port, address, sent) -> None:
    (answer,) = answers(exchange(port, sent))
    assert answer.status == 431 and answer.headers["connection"] == "close"
    assert answer.json() == {
        "error_code": "REQUEST_HEADER_FIELDS_TOO_LARGE",
        "message": f"more than {HEADERS} headers and trailers, or {HEADER_BYTES} bytes of them",
    }
    assert httpx.get(address).status_code == 200


@pytest.mark.parametrize("sent", [TOO_MANY["thousands of names"], TOO_MANY["trailers"]], ids=["headers", "trailers"])
def test_the_bounds_hold_however_the_bytes_arrive(port, sent) -> None:
    (answer,) = answers(exchange(port, *(sent[start : start + 7] for start in range(0, len(sent), 7))))
    assert answer.status == 431


def test_what_is_refused_for_its_headers_never_reaches_the_application(port, echo) -> None:
    exchange(port, TOO_MANY["thousands of names"])
    assert echo.requests == 0


def test_as_many_headers_as_are_allowed_arrive_but_no_cookie_and_no_trailer(port) -> None:
    sent = headers(HEADERS - 6) + b'Cookie: a="%b"\r\n' % (b"\\a" * 1_000)
    (answer,) = answers(exchange(port, chunked(b"{}", more=sent, end=b"late: 1\r\nx-request-key: 2\r\n\r\n")))
    names = [name for name, _ in answer.json()["headers"]]
    assert answer.status == 200 and answer.json()["bytes"] == 2
    assert len(names) == HEADERS - 3 and not {"cookie", "late", "x-request-key"} & set(names)


def test_trailers_of_a_request_are_no_headers_of_the_next(port) -> None:
    first, second = answers(exchange(port, chunked(b"{}", end=b"late: 1\r\n\r\n") + request(b"Connection: close\r\n")))
    assert first.status == second.status == 200
    assert "late" not in dict(second.json()["headers"])


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\na: \x00\r\n\r\n",
        request(b"Content-Length: 2\r\nContent-Length: 3\r\n") + b"{}",
        request(b"Content-Length: -1\r\n"),
        request(b"Content-Length: " + b"9" * 30 + b"\r\n"),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}{}",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
    ids=repr,
)
def test_what_is_no_request_is_refused_in_a_line_and_the_connection_closed(port, address, sent) -> None:
    (answer,) = answers(exchange(port, sent))
    assert answer.status == 400 and answer.headers["connection"] == "close"
    assert answer.json() == {"error_code": "BAD_REQUEST", "message": "this is no valid HTTP/1.1 request"}
    assert httpx.get(address).status_code == 200


@pytest.mark.parametrize("bad", [TOO_MANY["thousands of names"], b"no request\r\n\r\n"], ids=["headers", "no request"])
def test_a_request_keeps_its_answer_when_the_next_one_on_its_connection_is_refused(port, bad) -> None:
    first, *others = answers(exchange(port, request(b"first: 1\r\n") + bad))
    assert first.status == 200 and ["first", "1"] in first.json()["headers"]
    assert first.headers["connection"] == "close"
    assert [answer.status for answer in others] in ([], [400], [431])


@pytest.mark.parametrize("size", [b"7fffffff", b"7fffffffffffffff", b"10000000"])
def test_a_chunk_of_huge_size_holds_nobody_up(port, address, size) -> None:
    with socket.create_connection(("127.0.0.1", port)) as held:
        held.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n{}")
        assert httpx.get(address).status_code == 200


def test_a_body_that_never_ends_after_its_answer_is_cut_off(port, monkeypatch) -> None:
    monkeypatch.setattr(http_connection, "REST_SECONDS", 0.2)
    sent = request(b"Content-Length: 1000\r\n", path=b"/early") + b"1"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(sent)
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        with pytest.raises(ConnectionError):
            for _ in range(300):
                slow.sendall(b"1")
                time.sleep(0.05)


def test_a_connection_whose_body_came_after_its_answer_is_closed_when_it_is_idle(port) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request(b"Content-Length: 10\r\n", path=b"/early") + b"1")
        assert client.recv(65_536)
        client.sendall(b"234567890")
        while client.recv(65_536):
            pass


def test_the_answers_to_a_client_that_is_gone_are_dropped_without_a_traceback(port, echo, caplog) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it resets the connection
        client.sendall(2 * request(b"", path=b"/late"))
        until(lambda: echo.requests == 1, seconds=30, what="the first request")
    until(lambda: echo.answered == 1, seconds=30, what="its answer")
    assert not caplog.records


def test_who_closes_one_direction_holds_nobody_up(port, address) -> None:
    halves = []
    for _ in range(20):
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(HEAD)
        half.shutdown(socket.SHUT_WR)
        halves.append(half)
    assert httpx.get(address).status_code == 200
    for half in halves:
        half.settimeout(30)
        assert half.recv(100) == b"", "it was closed"
        half.close()
