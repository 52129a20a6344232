"""Projects on the tiny model, driven through the real command line in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import warm
from tests.support.servers import PrefectServer, Receiver, shared_server, until
from tests.support.tiny import made_sentences, mlflow_database

BLOCK = (
    "import sys; from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block\n"
    "text = {'title': '{{subject}}', 'text': '{{body}}'}\n"
    "Block(name=sys.argv[1], url=sys.argv[2], json_data=text).save(sys.argv[1], overwrite=True)"
)


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


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The Prefect server of this run, in whichever process of it: each project on it has a name of its own."""
    base = tmp_path_factory.getbasetemp()
    with shared_server(base.parent if hasattr(request.config, "workerinput") else base) as server:
        yield server


@pytest.fixture(scope="module")
def reported_to(server: PrefectServer) -> Iterator[PrefectServer]:
    """The server of this run, which flows that are called in this process report to."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: server.url}):
        yield server


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
        # a fresh process for each version takes longer than all the rest, and what is measured beside scores half of it
        evaluation={"smoke_rows": 0, "robustness": [], "latency_calls": 3},
    )
    return desk


class Shop:
    """A project that `cl schedule` serves, in a session of its own, so that its machine can be switched off."""

    def __init__(self, desk: Desk, server: PrefectServer, receiver: Receiver, name: str) -> None:
        self.desk, self.server, self.receiver, self.name = desk, server, receiver, name
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What leads its commands to the server and to the receiver of its notices."""
        return {**self.server.environment, "NOTICES": self.receiver.url}

    def start(self) -> None:
        log = (self.desk.project.parent / "schedule.log").open("ab")
        environment = {**self.environment, "PREFECT_RUNNER_POLL_FREQUENCY": "2"}
        command = self.desk.command("schedule")
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def switch_off(self) -> None:
        """Kill it with all its children, as a machine that loses its power does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def make_block(self) -> str:
        """Make a block on the server that tells the receiver, and return what names it in cl.yaml."""
        command = [sys.executable, "-c", BLOCK, self.name, self.receiver.url]
        subprocess.run(command, env=self.server.environment, check=True)
        return f"custom-webhook/{self.name}"

    def arrives(self, labels: list[str], seed: int) -> None:
        """Let rows arrive as a whole file: a look may come at any moment."""
        written = self.desk.project.parent / f"month-{seed}.csv"
        made_sentences(labels, 120, seed=seed).to_csv(written, index=False)
        written.rename(self.desk.project / "inbox" / written.name)

    def trains(self) -> bool:
        return bool(list((self.desk.project / ".cl/cycles").glob("*/decide.json")))

    def told(self, about: str) -> list[str]:
        """Titles of the notices of one kind that came through the webhook."""
        return [one["title"] for one in self.receiver.received if one.get("about") == about]

    def told_by_block(self, words: str) -> list[str]:
        return [one["text"] for one in self.receiver.received if "about" not in one and words in one["text"]]

    def automations(self) -> set[tuple[str, str]]:
        """Names and ids of those that must outlive a restart of `cl schedule`."""
        lasting = ("perennial: dead runs", f"perennial: {self.name} failures")
        return {
            (one["name"], one["id"]) for one in self.server.post("automations/filter", {}) if one["name"] in lasting
        }

    def runs(self, *states: str) -> list[dict[str, Any]]:
        return [one for one in self.server.runs("learn", self.name) if one["state_type"] in states]

    def asks(self) -> None:
        """Ask for a run of the learning flow by hand, once it is served."""
        named = {"deployments": {"name": {"any_": [self.name]}}}
        until(lambda: len(self.server.post("deployments/filter", named)) == 2, seconds=240, what="both deployments")
        self.desk.json("trigger", **self.environment)

    def suspended(self) -> list[dict[str, Any]]:
        return [one for one in self.runs("PAUSED") if one["state_name"] == "Suspended"]

    def ended(self, run: str) -> dict[str, Any]:
        """Return a run when it has ended."""
        over = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return until(lambda: (found := self.server.run(run))["state_type"] in over and found, seconds=300)

    def resume(self, run: str, **word: Any) -> str:
        """Answer as Prefect's page does, and return what the server says to it."""
        return str(self.server.asked("POST", f"flow_runs/{run}/resume", json={"run_input": word}).json()["status"])


@contextlib.contextmanager
def new_shop(folder: Path, tiny_model: Path, server: PrefectServer, name: str) -> Iterator[Shop]:
    """Make a shop whose rows arrive in a folder; at the end its machine is switched off."""
    receiver = Receiver()
    desk = new_desk(folder / "shop", tiny_model)
    (desk.project / "inbox").mkdir()
    source = {"name": "files", "path": "inbox"}
    desk.configure(name=name, data={"source": source, "split": {"validation": 0.1, "test": 0.3}})
    shop = Shop(desk, server, receiver, name)
    try:
        yield shop
    finally:
        shop.switch_off()
        receiver.close()
