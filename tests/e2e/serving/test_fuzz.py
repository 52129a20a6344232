"""Requests made up by schemathesis from the server's own OpenAPI schema, and bytes that are hardly requests."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.raw_http import INTERNALS, Answer, answers, exchange
from tests.support.serving_shop import TOKEN, Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.nightly)])
def test_no_request_that_the_schema_allows_or_forbids_breaks_the_server(
    server: Server, client, tmp_path, examples
) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    asked = [f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS]
    bounds = ["--max-examples", str(examples), "--phases", "examples,coverage,fuzzing", "--seed", "1"]
    done = subprocess.run([*command, *asked, *bounds], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.post("/predict", json={"text": "my card"}).status_code == 200


BODIES = [
    b'{"text": "my card"}',
    b'{"texts": ["my card", "loan"], "top_k": 2}',
    b'{"inputs": ["my card"]}',
    b"",
    b"text\na\n",
]
PATHS = [b"/predict", b"/invocations", b"/feedback", b"/readyz", b"/", b"/live", b"/metrics", b"/nothing"]


def plain(rng: random.Random) -> bytes:
    """Return a request as clients send it."""
    body, path, method = rng.choice(BODIES), rng.choice(PATHS), rng.choice([b"POST", b"POST", b"GET", b"OPTIONS"])
    kind = b"text/csv" if body.startswith(b"text") else b"application/json"
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nContent-Type: %b\r\nConnection: close\r\n"
    head %= method, path, TOKEN.encode(), kind
    if rng.random() < 0.5:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunk


def many_headers(sent: bytes, rng: random.Random) -> bytes:
    line, _, rest = sent.partition(b"\r\n")
    kind = rng.choice([b"a%d:\r\n", b"cookie: a=%d\r\n", b"x-request-key: %d\r\n", b"content-type: %d\r\n"])
    number = rng.choice([5, 90, 101, 10_000])
    return line + b"\r\n" + b"".join(kind % one for one in range(number)) + rest


def long_header(sent: bytes, rng: random.Random) -> bytes:
    line, _, rest = sent.partition(b"\r\n")
    name = rng.choice([b"a", b"cookie", b"x-request-key", b"authorization", b"accept", b"host", b"origin"])
    value = rng.choice([b"a", b"\\", b'"', b";", b",", b"\xff", b"%41", b" "]) * rng.choice([300, 20_000, 200_000])
    return line + b"\r\n" + name + b": " + value + b"\r\n" + rest


def trailers(sent: bytes, rng: random.Random) -> bytes:
    return sent.removesuffix(b"\r\n") + b"t: 1\r\n" * rng.choice([1, 101, 10_000]) + b"\r\n"


def other_chunk_size(sent: bytes, rng: random.Random) -> bytes:
    size = rng.choice([b"7fffffff", b"f" * 16, b"f" * 17, b"-1", b"0x5", b"5;" + b"a" * 50_000, b"", b"1"])
    return sent.replace(b"\r\n\r\n", b"\r\n\r\n" + size + b"\r\n", 1)


def other_host(sent: bytes, rng: random.Random) -> bytes:
    host = rng.choice([b"evil.example", b"", b"localhost\r\nHost: localhost", b"[", b"a" * 10_000, b"\xff", b"[::1]:1"])
    return sent.replace(b"Host: localhost", b"Host: " + host, 1)


def other_body(sent: bytes, rng: random.Random) -> bytes:
    values = [None, 3, [], {}, "", ["a", 3], {"a" * 9_000: 1}, [["a"]], "\ud800", 10**300, [{}] * 500]
    fields = ["text", "texts", "tokens", "top_k", "probabilities", "key", "id", "label", "inputs", "instances", "other"]
    body = json.dumps({name: rng.choice(values) for name in rng.sample(fields, 2)}).encode()
    head = sent.partition(b"Content-Length")[0].partition(b"Transfer-Encoding")[0]
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def cut(sent: bytes, rng: random.Random) -> bytes:
    return sent[: rng.randrange(len(sent))]


def other_bytes(sent: bytes, rng: random.Random) -> bytes:
    changed = bytearray(sent)
    for _ in range(rng.choice([1, 3, 20])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def repeated(sent: bytes, rng: random.Random) -> bytes:
    return sent.replace(b"Connection: close\r\n", b"") * rng.choice([2, 50])


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [
    many_headers, long_header, trailers, other_chunk_size, other_host, other_body, cut, other_bytes, repeated
]  # fmt: skip


def complete_answers(received: bytes) -> list[Answer]:
    """Return the answers that came, without one that was cut off."""
    try:
        return answers(received)
    except (AssertionError, KeyError, ValueError):
        return []


@pytest.mark.parametrize("number", [300, pytest.param(6_000, marks=pytest.mark.nightly)])
def test_no_bytes_break_the_server_and_every_refusal_is_a_short_plain_line(server: Server, client, number) -> None:
    rng, worker = random.Random(1), client.get("/live").json()["worker"]
    sent = []
    for _ in range(number):
        one = plain(rng)
        for change in rng.sample(CHANGES, rng.choice([0, 1, 1, 2])):
            one = change(one, rng) or one
        sent.append(one)
    with ThreadPoolExecutor(16) as clients:
        received = list(clients.map(lambda one: exchange(server.port, one, seconds=1), sent))
    came = [answer for one in received for answer in complete_answers(one)]
    assert Counter(answer.status for answer in came).keys() <= {
        200,
        400,
        401,
        404,
        405,
        408,
        413,
        415,
        421,
        422,
        429,
        431,
    }
    refused = [answer.json()["message"] for answer in came if answer.status >= 400 and answer.body]
    assert len(came) > number / 2 and len(refused) > number / 5
    for message in refused:
        assert 0 < len(message) <= 500 and message.isprintable() and not INTERNALS.search(message), message
    assert client.post("/predict", json={"text": "my card"}).status_code == 200
    assert client.get("/live").json()["worker"] == worker, "it is the same worker"
    assert "Traceback" not in server.log() and "is replaced" not in server.log()
