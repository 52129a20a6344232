"""A Prefect server, an MLflow server and a receiver of webhooks, all real, each in a process or thread of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from filelock import FileLock

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds a question to a server may take: its database is locked, and both cores busy, while several flows begin."""


def until(found: Callable[[], T], *, seconds: float, what: str = "it") -> T:
    """Return the first true value; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.3)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class PrefectServer:
    """A server with a home of its own; killed and started again it is the same server."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a process to this server."""
        return {**os.environ, "PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.url}

    def start(self) -> None:
        own = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port), "--no-ui"]
        self.home.mkdir(exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, env={**self.environment, **own}, stdout=log, stderr=log)
        try:
            until(self.answers, seconds=180, what="an answer of the server")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def runs(self, flow: str, project: str) -> list[dict[str, Any]]:
        """Return a project's runs of a flow that were due, the oldest first."""
        named = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [project]}}}
        runs = self.post("flow_runs/filter", {**named, "sort": "EXPECTED_START_TIME_ASC"})
        return [one for one in runs if not (one["state_type"] == "SCHEDULED" and one["auto_scheduled"])]

    def run(self, id: str) -> dict[str, Any]:
        return self.asked("GET", f"flow_runs/{id}").raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.asked("POST", path, json=body).raise_for_status().json()

    def asked(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Return what the server answers, once its SQLite is not locked (503)."""
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            answer = httpx.request(method, f"{self.url}/{path}", timeout=PATIENCE, **given)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            time.sleep(0.3)

    def artifacts(self, key: str) -> list[str]:
        """Return the contents of all artifacts under a key."""
        return [one["data"] for one in self.post("artifacts/filter", {}) if one["key"] == key]

    def answers(self) -> bool:
        """Tell whether it is there."""
        try:
            return httpx.get(f"{self.url}/health", timeout=PATIENCE).status_code == 200
        except httpx.HTTPError:
            return False


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[PrefectServer]:
    """Lend the one Prefect server of a test run: the first user starts it, the last one stops it.

    Args:
        folder: is the same in all processes of the run. It holds the server's home and a note of its port, its process
            and its users. A user is a process; one that died without a word does not count.
    """
    note, lock = folder / "prefect.json", FileLock(folder / "prefect.lock")
    with lock:
        noted = _noted(note)
        server = PrefectServer(folder / "prefect", **({"port": noted["port"]} if noted else {}))
        if noted is None or not server.answers():
            server.start()
            assert server.process is not None
            noted = {"port": server.port, "server": server.process.pid, "users": []}
        _write(note, {**noted, "users": [*_alive(noted["users"]), os.getpid()]})
    try:
        yield server
    finally:
        with lock:
            noted = _noted(note)
            assert noted is not None
            users = _alive(noted["users"])
            users.remove(os.getpid())
            _write(note, {**noted, "users": users})
            if not users:
                _stop(noted["server"])


def _noted(note: Path) -> dict[str, Any] | None:
    return json.loads(note.read_text()) if note.exists() else None


def _write(note: Path, content: dict[str, Any]) -> None:
    note.write_text(json.dumps(content))


def _alive(processes: list[int]) -> list[int]:
    return [one for one in processes if psutil.pid_exists(one)]


def _stop(pid: int) -> None:
    """Kill a process, which another one may have started, and return when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.kill()
        until(lambda: _ended(process), seconds=PATIENCE, what="the end of the server")


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""What MLflow's server can run beside itself starts five more processes, which a small machine waits for."""


@dataclass
class TrackingServer:
    """`mlflow server` on a SQLite file, which its clients reach the files of versions through.

    Attributes:
        folder: where its database lies, and the files, unless they have another destination.
        destination: where the files lie: a path or a URI.
        environment: what it alone is told, such as the keys of a bucket.
        log: what it says.
    """

    folder: Path
    destination: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def group(self) -> int:
        """The process group that it and its workers are."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Return when it answers."""
        where = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        kept = ["--serve-artifacts", "--artifacts-destination", self.destination or str(self.folder / "artifacts")]
        command = [sys.executable, "-m", "mlflow", "server", *where, *kept, "--port", str(self.port)]
        with (self.log or self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "1"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **NO_JOBS, **self.environment},
            )
        until(self._answers, seconds=240, what="an answer of the tracking server")

    def kill(self) -> None:
        """Kill it and its workers with SIGKILL."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


class Receiver:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self, answer: int = 204) -> None:
        kept: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.received = kept
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
