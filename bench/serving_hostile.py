"""What four clients of `cl serve` notice of another that means ill: their latency before and meanwhile."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import yaml
from serving_servers import BASE, PORT, measured, ours, started

from cl.stores.project_folder import ProjectFolder

TOKEN, VARIABLE = "the-token-of-the-bench", "BENCH_TOKENS"
CLIENTS = 4
HEAD = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"


def request(body: bytes, *, token: str = TOKEN, path: str = "/predict") -> bytes:
    return f"{HEAD.format(path=path, token=token)}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body: bytes, size: int) -> bytes:
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    parts = b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in chunks)
    head = HEAD.format(path="/predict", token=TOKEN)
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n"


def many(size: int) -> bytes:
    return json.dumps({"texts": ["a"] * size}).encode()


ATTACKS: dict[str, Callable[[], bytes]] = {
    "nobody": lambda: b"",
    "a wrong token, again and again": lambda: request(b'{"text": "a"}', token="guess"),
    "10 MB body": lambda: request(b'{"text": "' + b"a" * 10_000_000 + b'"}'),
    "10 MB body of no declared length": lambda: chunked(b"a" * 10_000_000, 65_536),
    "100,000 texts": lambda: request(many(100_000)),
    "deep JSON": lambda: request(b'{"text": ' + b"[" * 900_000),
    "bad UTF-8": lambda: request(b'{"text": "' + b"\xff" * 1_900_000 + b'"}'),
    "256 long texts": lambda: request(json.dumps({"texts": ["my card is lost " * 400] * 256}).encode()),
    "200 slow clients": lambda: request(b'{"text": "a"}'),
}


def hostile(project: ProjectFolder, texts: Path, seconds: float, workers: int) -> None:
    """Print for each attack the latency of the others, as it is and as a multiple of what it was without."""
    given = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**given, "serve": {"tokens": f"env:{VARIABLE}"}}))
    try:
        with started(ours(project, workers), f"{BASE}/readyz", **{VARIABLE: TOKEN}):
            measured(f"{BASE}/predict", texts, CLIENTS, 3, "--token", TOKEN)
            for attack in ATTACKS:
                told = attacked(attack, texts, seconds)
                print(f"{attack:<34} {told}", flush=True)
    finally:
        project.config.write_text(yaml.safe_dump(given))


def attacked(attack: str, texts: Path, seconds: float) -> str:
    """Return what the clients saw, first alone and then beside an attack, which is in a process of its own."""
    url = f"{BASE}/predict"
    before = measured(url, texts, CLIENTS, seconds / 2, "--token", TOKEN)
    attacker = subprocess.Popen([sys.executable, __file__, attack, str(seconds)], stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    meanwhile = measured(url, texts, CLIENTS, seconds - 1, "--token", TOKEN)
    answered = attacker.communicate()[0].strip()
    ratios = {key: f"{meanwhile[key]} ms, {meanwhile[key] / before[key]:.2f} times" for key in ("p50_ms", "p95_ms")}
    return f"p50 {ratios['p50_ms']}; p95 {ratios['p95_ms']}; failed {meanwhile['failed']}; the attacker got {answered}"


def attack(name: str, seconds: float) -> Counter[str]:
    """Send an attack's request until the time is over; return how often each status came."""
    told, until = ATTACKS[name](), time.monotonic() + seconds
    if not told:
        time.sleep(seconds)
        return Counter()
    if name.endswith("slow clients"):
        return drip(told, int(name.split()[0]), until)
    statuses, connection = Counter[str](), None
    while time.monotonic() < until:
        connection = connection or socket.create_connection(("127.0.0.1", PORT), timeout=30)
        try:
            connection.sendall(told)
            answer = HTTPResponse(connection)
            answer.begin()
            answer.read()
        except (OSError, HTTPException):
            statuses["closed"] += 1
            connection.close()
            connection = None
            continue
        statuses[str(answer.status)] += 1
        if answer.will_close:
            connection.close()
            connection = None
    return statuses


def drip(told: bytes, clients: int, until: float) -> Counter[str]:
    """Send a byte at a time over many connections; return how often each status came, and how many were cut off."""
    statuses: Counter[str] = Counter()
    waiting = {at: socket.create_connection(("127.0.0.1", PORT)) for at in range(clients)}
    for connection in waiting.values():
        connection.setblocking(False)
    for place in range(len(told)):
        for at, connection in list(waiting.items()):
            try:
                connection.send(told[place : place + 1])
            except OSError:
                statuses["closed"] += 1
                del waiting[at]
        time.sleep(0.1)
        if time.monotonic() > until:
            break
    statuses["still sending"] = len(waiting)
    return statuses


if __name__ == "__main__":
    os.nice(5)
    print(dict(attack(sys.argv[1], float(sys.argv[2]))))
