"""What a client may not do, and that others do not notice when it tries."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cl.serving.middleware import HELD_SECONDS
from tests.support.serving_shop import Server


def test_a_request_needs_a_token_that_the_environment_holds(server: Server, client) -> None:
    assert client.post("/predict", json={"text": "a"}).status_code == 200
    other = {"Authorization": "Bearer another"}
    assert client.post("/predict", json={"text": "a"}, headers=other).status_code == 200
    for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic another"}, {"Authorization": ""}):
        for path in ("/predict", "/invocations", "/feedback"):
            answer = httpx.post(f"{server.url}{path}", json={"text": "a"}, headers=wrong)
            assert answer.status_code in (401, 429), answer.text
    assert httpx.get(f"{server.url}/metrics").status_code in (401, 429)
    for path in ("/healthz", "/readyz", "/ping", "/openapi.json"):
        assert httpx.get(f"{server.url}{path}").status_code == 200


@pytest.mark.parametrize(("guesses_each", "held"), [(15, 200), pytest.param(50, 900, marks=pytest.mark.nightly)])
def test_hundreds_of_wrong_tokens_are_refused_while_others_get_their_answers(
    server: Server, client, guesses_each, held
) -> None:
    def guess() -> list[int]:
        with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer guess"}) as guesser:
            return [guesser.post("/predict", json={"text": "a"}).status_code for _ in range(guesses_each)]

    took = []
    with ThreadPoolExecutor(20) as threads:
        guesses = [threads.submit(guess) for _ in range(20)]
        while not all(one.done() for one in guesses):
            started = time.monotonic()
            assert client.post("/predict", json={"text": "a"}).status_code == 200
            took.append(time.monotonic() - started)
    statuses = [status for one in guesses for status in one.result()]
    assert set(statuses) <= {401, 429} and statuses.count(429) > held
    assert len(took) > 0.4 * guesses_each and statistics.median(took) < 1


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield b"a" * 10_000


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (lambda: b'{"text": "' + b"a" * 10_000_000 + b'"}', {413}),
        (lambda: chunks(10_000_000), {413}),
        (lambda: b'{"texts": [' + b'"a",' * 10_000 + b'"a"]}', {413}),
        (lambda: b'{"text": "' + b"a" * 3_000 + b'"}', {413}),
        (lambda: b'{"text": ' + b"[" * 20_000, {400, 422}),
        (lambda: b'{"text": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", {400, 422}),
        (lambda: b'{"text": "\xff\xfe"}', {400, 422}),
        (lambda: b'{"text": "\\ud800"}', {422}),
        (lambda: b'{"texts": ["a", "\\ud800"]}', {422}),
        (lambda: b'{"text": ' + b"1" * 6_000 + b"}", {400, 422}),
        (lambda: b"", {422}),
        (lambda: b"[]", {422}),
    ],
    ids=[
        "10 MB",
        "endless",
        "10,000 texts",
        "long",
        "open",
        "deep",
        "no utf-8",
        "half",
        "half of many",
        "digits",
        "empty",
        "list",
    ],
)
def test_a_hostile_body_is_refused_in_a_line(client, body, statuses) -> None:
    for path in ("/predict", "/invocations"):
        answer = client.post(path, content=body(), headers={"Content-Type": "application/json"})
        wanted = statuses | {400} if path == "/invocations" else statuses
        assert answer.status_code in wanted, answer.text
        assert 0 < len(answer.json()["message"]) < 400
    assert client.post("/predict", json={"text": "a"}).status_code == 200


def test_who_sends_large_bodies_again_and_again_is_held_up(client) -> None:
    started = time.monotonic()
    for _ in range(30):
        answer = client.post("/predict", content=b"a" * 60_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    assert time.monotonic() - started > 8 * HELD_SECONDS, "ten were refused at once"
    assert client.post("/predict", json={"text": "a"}).status_code == 200


def test_clients_that_are_slow_keep_nobody_waiting(server: Server, client) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer another\r\nContent-Length: 100\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for connection in slow:
        connection.sendall(head)
    took = []
    for _ in range(20):
        started = time.monotonic()
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        took.append(time.monotonic() - started)
    assert statistics.median(took) < 1
    slow[0].settimeout(20)
    assert slow[0].recv(100).startswith(b"HTTP/1.1 408")
    for connection in slow:
        connection.close()


def test_where_there_is_no_room_the_answer_says_when_there_will_be(server: Server) -> None:
    def ask(_: int) -> httpx.Response:
        with server.client() as client:
            return client.post("/predict", json={"texts": ["my card is lost and stolen please help " * 8] * 40})

    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(ask, range(48)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    assert all(int(one.headers["Retry-After"]) >= 1 for one in answers if one.status_code == 429)


def test_other_origins_may_not_ask_from_a_browser(client) -> None:
    asked = client.options(
        "/predict", headers={"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in asked.headers
