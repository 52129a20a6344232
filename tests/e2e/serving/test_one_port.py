"""One port has one server: every other one is refused with a line that says who has it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cl.commands.init import scaffold
from tests.support.servers import free_port, until
from tests.support.serving_shop import made_shop, serving

WITHOUT_MODEL = "name: {name}\ndata: {{source: null}}\n"


class Started:
    """`cl serve` as a process; it need not have a champion, since it holds its port before."""

    def __init__(self, project: Path, *options: str) -> None:
        command = [sys.executable, "-m", "cl.cli", "serve", "-p", str(project), *options]
        self.said = project / f"{time.monotonic_ns()}.log"
        with self.said.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    @property
    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()

    def says(self, text: str) -> str:
        """Wait for a line that contains a text."""
        return until(lambda: next((line for line in self.lines if text in line), None), seconds=120, what=text)

    def refusal(self) -> str:
        """Wait for it to end as a server does that cannot have its port, and return its one line."""
        assert self.process.wait(120) == 2, self.lines
        (line,) = self.lines
        return line

    def kill(self) -> None:
        """Kill it with its workers, as a machine that loses its power does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def started(project: Path, *options: str) -> Iterator[Started]:
    server = Started(project, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def made(folder: Path, name: str) -> Path:
    return scaffold(folder / name, WITHOUT_MODEL.format(name=name)).root


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("port"), "shop")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("port"), "other")


@pytest.fixture(scope="module")
def running(shop: Path) -> Iterator[tuple[Started, int]]:
    """A server with two workers on 127.0.0.1, just started, and its port."""
    port = free_port()
    with started(shop, "--port", str(port), "--workers", "2") as server:
        server.says("starting with 2 worker(s)")
        yield server, port


@pytest.mark.parametrize(
    ("same", "host", "workers"),
    [(True, "127.0.0.1", 1), (False, "127.0.0.1", 2), (False, "0.0.0.0", 1), (True, "::", 1)],
)
def test_a_second_server_is_refused_and_told_who_has_the_port(running, shop, other, same, host, workers) -> None:
    server, port = running
    options = ("--port", str(port), "--host", host, "--workers", str(workers))
    with started(shop if same else other, *options) as second:
        line = second.refusal()
    address = f"[{host}]" if ":" in host else host
    assert line.startswith(f"cl: {address}:{port}: cannot listen on this address: it is in use by `cl serve`")
    assert f"the project {shop}, process {server.process.pid};" in line and "--port" in line
    assert server.process.poll() is None


def test_a_refused_server_leaves_the_metrics_of_the_running_one_alone(running, shop) -> None:
    _, port = running
    metrics = shop / ".cl" / "serving" / "metrics"
    assert metrics.is_dir()
    (metrics / "counter_1.db").write_bytes(b"")
    with started(shop, "--port", str(port), "--workers", "2") as second:
        second.refusal()
    assert (metrics / "counter_1.db").exists()


def test_another_program_does_not_get_the_port(running) -> None:
    _, port = running
    program = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0 and "Address already in use" in ended.stderr


def test_a_port_that_another_program_has_is_refused_with_the_programs_name(other) -> None:
    port = free_port()
    program = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, seconds=60, what="the program")
            with started(other, "--port", str(port)) as server:
                assert re.search(rf"in use by python\S*, process {process.pid}; stop that", server.refusal())
        finally:
            process.kill()


def test_a_server_says_when_it_is_ready_and_why_it_is_not_and_its_port_is_free_at_once_after_a_crash(running) -> None:
    server, port = running
    line = server.says("not ready")
    assert line.startswith(f"http://127.0.0.1:{port}: not ready") and "no champion yet; `cl run`" in line
    answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30)
    assert answer.status_code == 503 and not [line for line in server.lines if "WARNING" in line or ": ready" in line]
    kept = socket.create_connection(("127.0.0.1", port))  # a connection that the crash cuts
    server.kill()
    with started(server.said.parent, "--port", str(port), "--workers", "1") as again:
        again.says("starting with 1 worker(s)")
        assert again.process.poll() is None
    kept.close()


def test_port_0_takes_a_free_one_each_time(shop, other) -> None:
    with started(shop, "--port", "0", "--workers", "1") as one, started(other, "--port", "0", "--workers", "1") as two:
        addresses = {re.findall(r"http://127\.0\.0\.1:(\d+)", each.says("starting"))[0] for each in (one, two)}
    assert len(addresses) == 2 and "0" not in addresses


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--host", "203.0.113.7"), "this machine does not have this address"),
        (("--host", "no-such-host.invalid"), "no such host"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_line(shop, options, why) -> None:
    with started(shop, "--port", "0", *options) as server:
        assert why in server.refusal()


def test_a_normal_start_says_which_version_answers_and_warns_of_nothing(tmp_path, tiny_model) -> None:
    shop = made_shop(tmp_path / "shop", tiny_model, versions=(1, 2), serve={"poll_seconds": 0.1})
    shop.promote("1")
    with serving(shop, "--workers", "1") as server:
        server.champion_is("1")
        until(lambda: f"{server.url}: ready, version 1 answers" in server.log(), seconds=60, what="ready")
        shop.promote("2")
        server.champion_is("2")
        assert "INFO cl.serving.registry_watcher: version 2 is the champion now" in server.log()
        assert "WARNING" not in server.log() and "not ready" not in server.log()
