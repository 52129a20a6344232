from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from cl.serving import http_connection
from tests.support.servers import free_port, until


async def greet(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    options = {"host": "127.0.0.1", "port": port, "lifespan": "off", "log_level": "warning"}
    server = uvicorn.Server(uvicorn.Config(greet, http=http_connection.HttpConnection, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, seconds=30, what="a server")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_an_old_connection_is_closed_with_an_answer_and_a_young_one_is_kept(address, monkeypatch) -> None:
    with httpx.Client(base_url=address) as client:
        assert "Connection" not in client.get("/").headers
        assert "Connection" not in client.get("/").headers
        monkeypatch.setattr(http_connection, "LIFETIME", 0.0)
        with httpx.Client(base_url=address) as late:
            answer = late.get("/")
            assert answer.text == "hello" and answer.headers["Connection"] == "close"
            assert late.get("/").text == "hello", "over another one"
        assert "Connection" not in client.get("/").headers, "it was opened before"
