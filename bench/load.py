"""Load on an HTTP server of this machine: so many clients, each asks again when it has its answer.

    python bench/load.py http://127.0.0.1:8080/invocations --texts texts.json --clients 64 --seconds 20 [--answers FILE]

Prints one JSON object: requests and failures, requests a second, quantiles of the latency in milliseconds. With
--answers it also writes a line an answer: when it was asked and answered (seconds since 1970), the status (0: none
came) and the version that the header X-Model-Version names. One process, one thread; httptools parses the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

import httptools


class Client(asyncio.Protocol):
    """One connection that is kept, and opened again when the server closes it between two requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.closed = transport, False
        self.parser = httptools.HttpResponseParser(self)
        self.answered: asyncio.Future[None] | None = None
        self.version = ""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionResetError("closed before the answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-model-version":
            self.version = value.decode()

    def on_message_complete(self) -> None:
        if not self.parser.should_keep_alive():
            self.closed = True
            self.transport.close()
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(None)

    async def ask(self, request: bytes) -> int:
        """Send a request and return the answer's status."""
        self.answered = asyncio.get_running_loop().create_future()
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(request)
        await asyncio.wait_for(self.answered, 60)
        return self.parser.get_status_code()


async def work(number: int, host: str, port: int, requests: list[bytes], until: float, answers: list) -> None:
    """Ask again and again; what fails is counted and not repeated."""
    loop, client, at = asyncio.get_running_loop(), None, number * 7919
    while time.time() < until:
        asked, status, version = time.time(), 0, ""
        try:
            if client is None or client.closed:
                _, client = await loop.create_connection(Client, host, port)
            status = await client.ask(requests[at % len(requests)])
            version = client.version
        except (TimeoutError, OSError, httptools.HttpParserError):
            with contextlib.suppress(AttributeError):
                client.transport.abort()
            client = None
            await asyncio.sleep(0.01)
        answers.append((asked, time.time(), status, version))
        at += 1


def requests_for(url: str, texts: list[str], token: str | None) -> list[bytes]:
    """Return each text as a request: in the form of /predict, or of MLflow's /invocations."""
    parts = urlsplit(url)
    made = []
    for text in texts:
        table = {"dataframe_split": {"columns": ["text"], "data": [[text]]}}
        body = json.dumps({"text": text} if parts.path.endswith("predict") else table).encode()
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


async def load(
    url: str, texts: list[str], clients: int, seconds: float, token: str | None
) -> list[tuple[float, float, int, str]]:
    """Return one entry for each request that was sent."""
    parts, answers = urlsplit(url), []
    until = time.time() + seconds
    every = (
        work(one, parts.hostname or "127.0.0.1", parts.port or 80, requests_for(url, texts, token), until, answers)
        for one in range(clients)
    )
    await asyncio.gather(*every)
    return answers


def summary(answers: list[tuple[float, float, int, str]]) -> dict[str, float]:
    """Return counts, requests a second, and quantiles in milliseconds."""
    took = sorted(1000 * (done - asked) for asked, done, status, _ in answers if status == 200)
    span = max(done for _, done, _, _ in answers) - min(asked for asked, *_ in answers)
    quantiles = statistics.quantiles(took, n=100) if len(took) > 1 else [float("nan")] * 99
    return {
        "requests": len(answers),
        "failed": sum(status != 200 for _, _, status, _ in answers),
        "requests_per_second": round(len(took) / span, 1),
        "p50_ms": round(quantiles[49], 2),
        "p95_ms": round(quantiles[94], 2),
        "p99_ms": round(quantiles[98], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--texts", type=Path, required=True, help="a JSON list")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--token")
    parser.add_argument("--answers", type=Path)
    given = parser.parse_args()
    assert urlsplit(given.url).hostname in ("127.0.0.1", "localhost"), "only a server of this machine is loaded"
    texts = json.loads(given.texts.read_text())
    answers = asyncio.run(load(given.url, texts, given.clients, given.seconds, given.token))
    if given.answers:
        given.answers.write_text("".join(f"{a:.6f} {b:.6f} {status} {version}\n" for a, b, status, version in answers))
    print(json.dumps(summary(answers)))


if __name__ == "__main__":
    main()
