"""A siege of `cl serve`: hostile clients of every kind at once, beside clients that ask as people do.

    python bench/serving_siege.py PROJECT [--seconds 60] [--workers 2] [--rate 1]

PROJECT has a champion; beside its cl.yaml may lie texts.json, a list of texts. The clients first ask alone, then during
the siege, each as long. Prints one JSON object: p95 alone and besieged with their ratio, how many answers were wrong
(not the one that the same text had before) or failed, how many workers had to be replaced, and how long the server took
to stop when it was asked to, still besieged. Ends with 1 if an answer was wrong or failed, a worker was replaced, or
the server did not stop in time; the ratio is for people to read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from serving_servers import BASE, LOG, PORT, ours, started

from cl import config
from cl.serving.supervisor import STOP_SECONDS
from cl.stores.project_folder import ProjectFolder

CLIENTS = 4
MARGIN = 0.1
"""How much more probable than the second label the first one is, of a text whose answer must not change."""
TEXTS = [
    "my card is lost",
    "where is the parcel",
    "help with my loan",
    "the fee is new",
    "pay the old order",
    "send help",
]
HEAD = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: %b\r\n"
ENOUGH = 30.0
"""Seconds after which a hostile client gives up."""


def post(body: bytes, more: bytes = b"", path: bytes = b"/predict", host: bytes = b"localhost") -> bytes:
    kind = b"text/csv" if path == b"/invocations" else b"application/json"
    return HEAD % (path, host, kind) + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def endless(end: bytes) -> bytes:
    return HEAD % (b"/predict", b"localhost", b"application/json") + b"Transfer-Encoding: chunked\r\n\r\n" + end


BODY = b'{"text": "my card"}'
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
REQUESTS: dict[str, Callable[[], bytes]] = {
    "many headers": lambda: post(BODY, b"a:\r\n" * 15_000),
    "many names": lambda: post(BODY, b"".join(b"a%x:\r\n" % number for number in range(9_000))),
    "as many headers as are allowed": lambda: post(BODY, b"".join(b"a%d: 1\r\n" % number for number in range(95))),
    "cookies": lambda: post(BODY, b'Cookie: a="%b"\r\n' % (b"\\a" * 14_000)),
    "many trailers": lambda: endless(CHUNK + b"0\r\n" + b"t: 1\r\n" * 15_000 + b"\r\n"),
    "a trailer without end": lambda: endless(CHUNK + b"0\r\nt: " + b"a" * 10_000_000),
    "a chunk extension without end": lambda: endless(b"5;" + b"a" * 10_000_000),
    "a huge chunk": lambda: endless(b"7fffffffffffffff\r\n" + b" " * 3_000_000),
    "a chunk size that does not fit": lambda: endless(b"f" * 40 + b"\r\n"),
    "chunks of a byte": lambda: endless(b"1\r\n \r\n" * 300_000),
    "a million wrong texts": lambda: post(b'{"texts": [' + b"1," * 900_000 + b"1]}"),
    "unknown fields": lambda: post(json.dumps(dict.fromkeys(map(str, range(150_000)))).encode()),
    "empty tokens": lambda: post(b'{"tokens": [[' + b'"",' * 400_000 + b'""]]}'),
    "a wide table": lambda: post(b"a," * 500_000 + b"text\n" + b"a\n" * 400_000, path=b"/invocations"),
    "a foreign host": lambda: post(BODY, host=b"evil.example"),
}  # fmt: skip
"""What is sent in one piece."""


def send(request: bytes, until: float) -> str:
    """Send a request and return the status of its answer, or that there was none."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=ENOUGH) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return str(answer.status)


def send_slowly(until: float) -> str:
    """Send a byte of a header at a time over many connections."""
    return _drip(HEAD % (b"/predict", b"localhost", b"application/json") + b"a: " + b"a" * 1_000, 50, until)


def send_body_slowly(until: float) -> str:
    """Send a byte of a body at a time over many connections."""
    head = HEAD % (b"/predict", b"localhost", b"application/json") + b"Content-Length: 1000\r\n\r\n"
    return _drip(head + b" " * 1_000, 50, until, first=len(head))


def close_half(until: float) -> str:
    """Close one direction, before or after the request is complete."""
    for request in (post(BODY), post(BODY)[:-5], b""):
        with socket.create_connection(("127.0.0.1", PORT), timeout=ENOUGH) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while connection.recv(65_536):
                    pass
    return "closed"


def never_read(until: float) -> str:
    """Send request after request over one connection and read no answer."""
    large = post(json.dumps({"texts": ["my card"] * 5, "probabilities": True}).encode())
    with socket.create_connection(("127.0.0.1", PORT), timeout=1) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with suppress(OSError):
            for _ in range(100):
                connection.sendall(large)
        time.sleep(max(0.0, min(10.0, until - time.monotonic())))
    return "left"


def _drip(request: bytes, clients: int, until: float, first: int = 1) -> str:
    connections = [socket.create_connection(("127.0.0.1", PORT), timeout=ENOUGH) for _ in range(clients)]
    try:
        for start in range(first, len(request)):
            for connection in connections:
                connection.sendall(request[:start] if start == first else request[start - 1 : start])
            time.sleep(0.2)
            if time.monotonic() > until:
                return "still sending"
    finally:
        for connection in connections:
            connection.close()
    return "sent"


BEHAVIOURS: dict[str, Callable[[float], str]] = {
    "slow headers": send_slowly,
    "slow bodies": send_body_slowly,
    "half-closed connections": close_half,
    "answers that nobody reads": never_read,
}
"""What takes a while."""


def besiege(seconds: float, rate: float) -> dict[str, Counter[str]]:
    """Let one client of each kind do its worst, each at most so many times a second; return what they got."""
    until, got = time.monotonic() + seconds, {name: Counter[str]() for name in (*REQUESTS, *BEHAVIOURS)}

    def attack(name: str) -> None:
        request = REQUESTS[name]() if name in REQUESTS else b""
        while time.monotonic() < until:
            try:
                outcome = send(request, until) if request else BEHAVIOURS[name](until)
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
            got[name][outcome] += 1
            time.sleep(1 / rate)

    threads = [threading.Thread(target=attack, args=(name,), daemon=True) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + ENOUGH - time.monotonic()))
    return got


@dataclass
class Seen:
    """What the other clients saw."""

    took: list[float] = field(default_factory=list)
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def p95(self) -> float:
        return statistics.quantiles(self.took, n=20)[18] * 1_000


def ask(connection: http.client.HTTPConnection, text: str) -> tuple[int, list[tuple[str, float]]]:
    """Return the status and the two most probable labels of a text."""
    connection.request("POST", "/predict", json.dumps({"text": text, "top_k": 2}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    if answer.status != 200:
        return answer.status, []
    return 200, [(top["label"], top["probability"]) for top in content["predictions"][0]["top"]]


def expected_answers(texts: list[str]) -> dict[str, str]:
    """Return the label of each text that has a clear one."""
    connection, found = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60), {}
    for text in texts:
        _, tops = ask(connection, text)
        if len(tops) == 1 or tops[0][1] - tops[1][1] > MARGIN:
            found[text] = tops[0][0]
    assert found, "the champion is sure of no text"
    return found


def watch(expected: dict[str, str], seconds: float) -> Seen:
    """Let a few clients ask again and again, and check each answer."""
    seen, until = Seen(), time.monotonic() + seconds

    def work(number: int) -> None:
        texts, connection = list(expected), http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        while time.monotonic() < until:
            number += 1
            text, begun = texts[number % len(texts)], time.monotonic()
            try:
                status, tops = ask(connection, text)
            except (OSError, http.client.HTTPException, ValueError) as error:
                seen.failed[type(error).__name__] += 1
                connection.close()
                continue
            if status != 200:
                seen.failed[str(status)] += 1
            elif tops[0][0] != expected[text]:
                seen.wrong += 1
            seen.took.append(time.monotonic() - begun)

    threads = [threading.Thread(target=work, args=(number * 7_919,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


@contextmanager
def besieged(seconds: float, rate: float) -> Iterator[subprocess.Popen[str]]:
    """Run the hostile clients in a process of their own, with less of the processor."""
    command = [sys.executable, __file__, "--attack", "--seconds", str(seconds), "--rate", str(rate)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def siege(project: ProjectFolder, seconds: float, workers: int, rate: float = 1) -> bool:
    """Print what the clients saw, and tell whether the server stood it."""
    listed = project.root / "texts.json"
    texts = json.loads(listed.read_text())[:200] if listed.exists() else TEXTS
    said = LOG.stat().st_size if LOG.exists() else 0
    within = config.load(project.config).serve.drain_seconds + STOP_SECONDS + 10
    with started(ours(project, workers), f"{BASE}/readyz") as server:
        expected = expected_answers(texts)
        watch(expected, 3)
        alone = watch(expected, seconds)
        with besieged(seconds + within, rate):
            time.sleep(2)
            during = watch(expected, seconds)
            begun = time.monotonic()
            server.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(within)
            stopped = server.poll() is not None
            if not stopped:
                os.killpg(server.pid, signal.SIGKILL)
    log = LOG.read_bytes()[said:].decode(errors="replace")
    replaced = log.count("is replaced")
    result = {
        "p95_ms_alone": round(alone.p95(), 2),
        "p95_ms_besieged": round(during.p95(), 2),
        "ratio": round(during.p95() / alone.p95(), 2),
        "answers": len(during.took),
        "wrong": during.wrong,
        "failed": dict(during.failed),
        "workers_replaced": replaced,
        "stopped_after_seconds": round(time.monotonic() - begun, 1) if stopped else None,
    }
    print(json.dumps(result), flush=True)
    return stopped and not (replaced or during.wrong or during.failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two measurements")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1, help="requests a second of each kind of hostile client")
    parser.add_argument("--attack", action="store_true", help="only besiege the server that is there")
    given = parser.parse_args()
    if given.attack:
        os.nice(5)
        for name, statuses in besiege(given.seconds, given.rate).items():
            print(f"{name}: {dict(statuses)}")
        return
    assert given.project, "name a project"
    sys.exit(0 if siege(ProjectFolder(given.project.resolve()), given.seconds, given.workers, given.rate) else 1)


if __name__ == "__main__":
    main()
