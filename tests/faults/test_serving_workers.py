"""Workers that hang, end or are deaf: each is replaced, and the server stops in time whatever they do."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.odd_server import ENDLESS, KINDS
from tests.support.repository import ROOT
from tests.support.servers import free_port, until

HANG = ("sleeps", "holds the interpreter", "is stopped")
END = ("ends", "is killed")
AGES = "600"


@dataclass(frozen=True)
class OddServer:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def worker(self) -> int | None:
        """Return the process that answers, or None if none does now."""
        try:
            return int(httpx.get(f"http://127.0.0.1:{self.port}/", timeout=2).text)
        except httpx.HTTPError:
            return None

    def make(self, kind: str, seconds: float = 1) -> None:
        """Do something to a worker, which may never answer."""
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{self.port}/{kind.replace(' ', '-')}", timeout=seconds)

    def workers(self) -> list[psutil.Process]:
        family = psutil.Process(self.process.pid).children()
        return [process for process in family if any("multiprocessing-fork" in word for word in process.cmdline())]


@contextlib.contextmanager
def odd_server(folder: Path, *options: str) -> Iterator[OddServer]:
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-m", "tests.support.odd_server", str(port), *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    server, family = OddServer(process, port, log), list[psutil.Process]()
    try:
        yield server
    finally:
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()


@pytest.mark.parametrize("kind", [*HANG, *END])
def test_a_worker_that_hangs_or_ends_is_replaced(tmp_path, kind) -> None:
    with odd_server(tmp_path, "--hung", "3", "--stop", "3") as server:
        first = until(server.worker, seconds=60, what="an answer")
        server.make(kind)
        second = until(server.worker, seconds=60, what="an answer of another worker")
        assert second != first
        assert not psutil.pid_exists(first)
        log = server.log.read_text()
        said = "did not answer for 3 s" if kind in HANG else "ended with"
        assert f"worker {first} {said}" in log
        if kind in ("sleeps", "holds the interpreter"):
            assert "odd_server.py" in log, "it says where the worker was"


@pytest.mark.parametrize(
    ("kind", "number"),
    [*((kind, signal.SIGTERM) for kind in (*HANG, ENDLESS, "is deaf")), ("sleeps", signal.SIGINT)],
)
def test_a_signal_ends_the_server_whatever_a_worker_does(tmp_path, kind, number) -> None:
    with odd_server(tmp_path, "--hung", AGES, "--stop", "2", "--workers", "2") as server:
        until(lambda: server.worker() and len(server.workers()) == 2, seconds=60, what="two workers")
        workers = server.workers()
        with contextlib.ExitStack() as stack:
            if kind == ENDLESS:  # a request stays open while the server stops
                stack.enter_context(ThreadPoolExecutor(1)).submit(server.make, kind, seconds=60)
            server.make(kind)
            server.process.send_signal(number)
            assert server.process.wait(60) == 0
        assert not [worker.pid for worker in workers if worker.is_running()]
        assert "did not stop in time and was killed" in server.log.read_text()


@pytest.mark.parametrize("kind", ["sleeps", "is deaf", None])
def test_a_worker_ends_when_its_parent_is_killed(tmp_path, kind) -> None:
    with odd_server(tmp_path, "--hung", AGES, "--stop", "2") as server:
        worker = psutil.Process(until(server.worker, seconds=60, what="an answer"))
        if kind:
            server.make(kind)
        server.process.kill()
        until(lambda: not worker.is_running(), seconds=60, what="the end of the worker")


def test_a_server_that_is_well_ends_before_its_time_is_over(tmp_path) -> None:
    with odd_server(tmp_path, "--hung", AGES, "--stop", AGES) as server:
        until(server.worker, seconds=60, what="an answer")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0


def test_a_server_none_of_whose_workers_can_start_says_so_and_ends(tmp_path) -> None:
    with odd_server(tmp_path, "--hung", AGES, "--stop", "2", "--app", "broken", "--workers", "2") as server:
        assert server.process.wait(60) == 1
        log = server.log.read_text()
        assert "the application of the tests cannot start" in log
        assert "no worker could start; the lines above say why" in log


def test_every_kind_is_tried() -> None:
    assert {*HANG, *END, "is deaf"} == set(KINDS)
