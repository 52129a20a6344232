"""`cl serve` in a process of its own, as people start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import free_port, until


class Server:
    """The server of a project; its workers are its children, in a session of their own."""

    def __init__(self, project: Path, *options: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "cl.cli", "serve", "-p", str(project), "--port", str(self.port), *options]
        self._log = project / "serve.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
            )
        until(self._ready, seconds=120, what="readiness of the server")

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """Send a request that must succeed and return its answer."""
        answer = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kill(self) -> None:
        """Kill it with all its workers, as a machine that loses its power does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it as a service manager does."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def _ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False
