"""Cycles that nobody starts by hand, on a real Prefect server that is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import made_sentences
from tests.e2e.conftest import Desk, new_desk
from tests.servers import PrefectServer, Receiver, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[PrefectServer]:
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Scheduled:
    """A project that `cl schedule` serves, in a session of its own so that its machine can be switched off."""

    def __init__(self, desk: Desk, server: PrefectServer, receiver: Receiver) -> None:
        self.desk, self.server, self.receiver = desk, server, receiver

    def start(self) -> None:
        log = (self.desk.project.parent / "schedule.log").open("ab")
        self.process = subprocess.Popen(
            self.desk.command("schedule"),
            env={**self.server.environment, "NOTICES": self.receiver.url},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def switch_off(self) -> None:
        """Kill it with all its children, as a machine that loses its power does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def told(self, about: str) -> list[str]:
        return [one["title"] for one in self.receiver.received if one["about"] == about]

    def journal(self, step: str) -> bool:
        return bool(list((self.desk.project / ".cl/cycles").glob(f"*/{step}.json")))


@pytest.fixture
def scheduled(server, receiver, tmp_path, tiny_model) -> Iterator[Scheduled]:
    desk = new_desk(tmp_path / "shop", tiny_model)
    (desk.project / "inbox").mkdir()
    desk.configure(
        name=f"shop-{tmp_path.name.strip('0123456789')[-12:]}".replace("_", "-").lower(),
        data={"source": {"name": "files", "path": "inbox"}, "split": {"validation": 0.1, "test": 0.3}},
        triggers={
            "watch_minutes": 0.2,
            "settle_seconds": 1,
            "notify": {"webhook": "env:NOTICES"},
        },
    )
    scheduled = Scheduled(desk, server, receiver)
    yield scheduled
    if scheduled.process.poll() is None:
        scheduled.switch_off()


def arrives(desk: Desk, labels: list[str], rows: int, seed: int) -> None:
    made_sentences(labels, rows, seed=seed).to_csv(desk.project / "inbox" / f"month-{seed}.csv", index=False)


def slowly(desk: Desk) -> None:
    """Make training take some ten seconds, so that there is a middle."""
    import yaml

    training = yaml.safe_load((desk.project / "cl.yaml").read_text())["training"]
    desk.configure(training={**training, "epochs": 120, "patience": 120})


def test_data_arrives_drifts_and_is_learnt_without_a_hand_though_the_server_is_killed(scheduled) -> None:
    desk, server = scheduled.desk, scheduled.server
    slowly(desk)
    arrives(desk, ["loan", "fee"], 120, seed=1)
    scheduled.start()
    until(lambda: scheduled.told("promotion"), seconds=120, what="the first promotion")
    assert desk.json("status")["champion"] == "1"

    arrives(desk, ["loan", "box"], 120, seed=2)
    until(lambda: scheduled.journal("decide"), seconds=90, what="the second cycle")
    server.kill()
    time.sleep(3)
    assert not scheduled.told("promotion")[1:], "killed too late to be in the middle"
    server.start()
    until(lambda: scheduled.told("promotion")[1:], seconds=120, what="the second promotion")

    def ended() -> bool:
        return all(one["state_type"] in ("COMPLETED", "CRASHED", "CANCELLED") for one in server.runs("learn"))

    until(ended, seconds=120, what="the end of all runs")
    status, history = desk.json("status"), desk.json("history")
    assert status["champion"] == "2" and status["waiting"] == []
    assert [cycle["experience"]["id"] for cycle in history] == ["0001-month-1", "0002-month-2"]
    first, second = [one for one in server.runs("learn") if one["state_type"] != "CANCELLED"]
    assert (first["parameters"]["reason"], second["parameters"]["reason"]) == ("cl.data.arrived", "cl.drift.detected")
    assert second["parameters"]["cycle"] == history[1]["id"]
    assert len(scheduled.told("alarm")) == 1 and scheduled.told("failure") == []
    (alarm,) = server.artifacts(f"{status['model']}-alarm")
    assert "## new_labels" in alarm and "Rows that show it" in alarm and "| box | 0.0 % |" in alarm


def queued(server: PrefectServer) -> list[str]:
    return [one["id"] for one in server.runs("learn") if one["state_type"] == "SCHEDULED"]
