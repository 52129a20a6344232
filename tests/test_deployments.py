"""The learning flow on a real Prefect server: deployed, started from outside, seen as people expect it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import made_sentences
from tests.e2e.conftest import new_desk

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Prefect server of its own; yields the environment that leads to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    process = subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(own["PREFECT_API_URL"]), seconds=120)
        yield own
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def until(found: Any, *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)
    return value


def test_a_deployed_flow_learns_when_it_is_started_from_outside(server, tmp_path, tiny_model) -> None:
    desk = new_desk(tmp_path / "shop", tiny_model)
    made_sentences(["loan", "fee"], 80, seed=1).to_csv(tmp_path / "one.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "one.csv")).returncode == 0
    url = server["PREFECT_API_URL"]
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.deployments", str(desk.project)],
        env={**os.environ, **server}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deployment = until(lambda: httpx.post(f"{url}/deployments/filter", json={}).json(), seconds=120)[0]
        assert deployment["name"] == "shop"
        started = httpx.post(f"{url}/deployments/{deployment['id']}/create_flow_run", json={}).json()

        def ended() -> dict[str, Any] | None:
            run = httpx.get(f"{url}/flow_runs/{started['id']}").json()
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

        run = until(ended, seconds=240)
    finally:
        serving.terminate()
        serving.wait()
    assert run["state_type"] == "COMPLETED", run["state"]
    assert desk.json("status")["champion"] == "1"
    tasks = httpx.post(f"{url}/task_runs/filter", json={}).json()
    names = {one["name"].rpartition("-")[0] for one in tasks}
    assert {"validate", "drift", "decide", "train", "evaluate", "gate", "register", "promote"} <= names
    assert all("perennial" in one["tags"] for one in tasks)
    (artifact,) = httpx.post(f"{url}/artifacts/filter", json={}).json()
    assert "0001-one: promoted" in artifact["data"]
