"""`cl ui` in a process of its own, as people start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from cl.lifecycle import run_waiting
from cl.stores.project_folder import ProjectFolder
from tests.support.servers import free_port, until
from tests.support.tiny import made_sentences, tiny_project

ANA, BEN = "ana-has-this-token", "this-token-names-nobody"
TOKENS = f"Ana:{ANA}, {BEN}"
EVIL = "<img src=x onerror=\"document.title='broken'\">"


class TeamServer:
    """The page of a folder."""

    def __init__(self, folder: Path, log: Path, *options: str, tokens: str | None = TOKENS) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {name: value for name, value in os.environ.items() if name != "CL_UI_TOKEN"}
        environment |= {"CL_UI_TOKEN": tokens} if tokens else {}
        command = [sys.executable, "-m", "cl.cli", "ui", str(folder), "--port", str(self.port), *options]
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        until(self._ready, seconds=120, what="the page of the team")

    def ask(self, path: str, *, token: str | None = ANA, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request as a program does: a POST where there is a body."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        method = "GET" if body is None else "POST"
        return httpx.request(method, f"{self.url}/{path}", headers=headers, json=body, timeout=60)

    def get(self, path: str) -> Any:
        """Return what a request that must succeed answers."""
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def key(self, path: str) -> str:
        """Return the key of the project in a folder."""
        return next(entry["key"] for entry in self.get("api/projects")["projects"] if entry["path"] == path)

    def project(self, path: str) -> Any:
        """Return what the page shows of the project in a folder."""
        return self.get(f"api/projects/{self.key(path)}")

    def stop(self) -> int:
        """Stop it as a service manager does and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def log(self) -> str:
        return self._log.read_text()

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def team_page(folder: Path, log: Path, *options: str, tokens: str | None = TOKENS) -> Iterator[TeamServer]:
    server = TeamServer(folder, log, *options, tokens=tokens)
    try:
        yield server
    finally:
        server.stop()


def waiting_project(root: Path, tiny_model: Path, **changes: object) -> ProjectFolder:
    """Make a project with a hostile label whose first version passed its gates and waits for a person."""
    settings = {"gates": [{"name": "floor", "min": 0.0}], "promotion": {"approval": "person"}, **changes}
    project = tiny_project(root, tiny_model, **settings)
    learn(project, ["loan", "fee"], seed=1)
    return project


def learn(project: ProjectFolder, labels: list[str], seed: int) -> None:
    """Let a batch arrive and run its cycle."""
    rows = made_sentences(labels, 60, seed=seed)
    rows = rows.assign(label=rows["label"].replace("fee", EVIL))
    rows.to_csv(project.root / "inbox" / f"batch-{seed}.csv", index=False)
    run_waiting(project)


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return path -> size and time of change of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
