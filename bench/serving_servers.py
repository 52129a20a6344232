"""The servers that bench/serving.py compares and loads, and its load generator; each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cl.stores.project_folder import ProjectFolder

HERE = Path(__file__).parent
PORT = int(os.environ.get("BENCH_PORT", 18_480))
"""Of ours; mlflow's is the next one."""
BASE, THEIRS = f"http://127.0.0.1:{PORT}", f"http://127.0.0.1:{PORT + 1}"
LOG = Path(tempfile.gettempdir(), f"bench-serving-{PORT}.log")
"""What the servers say, of all benches on this port."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1"}


@contextmanager
def started(command: list[str], ready: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it is ready, and stop it in the end."""
    assert not answers(ready), f"{ready} answers already: another bench runs; set BENCH_PORT to a free port"
    with LOG.open("ab") as log:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where mlflow looks for its uvicorn
        environment = {**os.environ, **QUIET, **environment, "PATH": path}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while not answers(ready):
            assert process.poll() is None and time.monotonic() < deadline, f"not ready; see {log.name}"
            time.sleep(0.5)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def answers(url: str) -> bool:
    """Tell whether a server is there and well."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def ours(project: ProjectFolder, workers: int) -> list[str]:
    """Return the command of `cl serve`."""
    options = ["-p", str(project.root), "--port", str(PORT), "--workers", str(workers)]
    return [sys.executable, "-m", "cl.cli", "serve", *options]


def mlflows(workers: int) -> list[str]:
    """Return the command of `mlflow models serve`."""
    options = ["--env-manager", "local", "-p", str(PORT + 1), "--workers", str(workers)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/bench@champion", *options]


def loading(url: str, texts: Path, clients: int, seconds: float, *more: str) -> list[str]:
    """Return the command of the load generator."""
    options = ["--texts", str(texts), "--clients", str(clients), "--seconds", str(seconds), *more]
    return [sys.executable, str(HERE / "load.py"), url, *options]


def measured(url: str, texts: Path, clients: int, seconds: float, *more: str) -> dict[str, float]:
    """Return what the load generator found."""
    done = subprocess.run(loading(url, texts, clients, seconds, *more), check=True, capture_output=True)
    return json.loads(done.stdout)
