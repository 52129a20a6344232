"""Projects on the tiny model, driven through the real command line in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import warm
from tests.support.servers import PrefectServer
from tests.support.tiny import mlflow_database


@dataclass(frozen=True)
class Desk:
    """A folder with a project in it, and the command line."""

    project: Path

    def cl(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return warm.run(*self.arguments(*arguments), **environment)

    def json(self, *arguments: str, **environment: str) -> Any:
        """Run a command that must succeed and return what it prints."""
        done = self.cl(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def command(self, *arguments: str) -> list[str]:
        """Return what starts a command in a fresh process."""
        return [sys.executable, "-m", "cl.cli", *self.arguments(*arguments)]

    def arguments(self, first: str, *rest: str) -> list[str]:
        """Return the arguments of a command on this project."""
        place = [] if first in ("init", "demo") or first.startswith("-") else ["-p", str(self.project)]
        return [first, *rest, *place]

    def configure(self, **changes: Any) -> None:
        """Write cl.yaml anew with changed keys."""
        path = self.project / "cl.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server for a file's tests."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def desk(tmp_path: Path, tiny_model: Path) -> Desk:
    """A fresh project that learns in a second."""
    return new_desk(tmp_path / "project", tiny_model)


def new_desk(folder: Path, tiny_model: Path) -> Desk:
    """Make a project on the tiny model."""
    desk = Desk(folder)
    done = desk.cl("init", str(desk.project))
    assert done.returncode == 0, done.stderr
    (desk.project / "mlflow" / "mlflow.db").write_bytes(mlflow_database())
    desk.configure(
        name="tiny",
        model={"name": str(tiny_model), "dropout": 0.0},
        training={
            "epochs": 25,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "head_learning_rate": 1e-2,
            "precision": "float32",
        },
        data={"split": {"validation": 0.1, "test": 0.3}},
        drift={"report": "off"},
        gates=[{"name": "floor", "min": 0.5}],
        evaluation={"smoke_rows": 0},  # a fresh process for each version takes longer than all the rest
    )
    return desk
