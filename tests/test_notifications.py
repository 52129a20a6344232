"""Notices to a real receiver, without a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed

from cl.stores.local import Project
from flows.cycle import learn
from flows.notifications import succeeded, tell_failure
from flows.watch import watch
from tests.servers import Receiver


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("NOTICES", receiver.url)
    yield receiver
    receiver.close()


@pytest.fixture
def project(tmp_path) -> Project:
    (tmp_path / "cl.yaml").write_text("name: shop\ntriggers: {notify: {webhook: 'env:NOTICES'}}\n")
    return Project(tmp_path)


def run(folder: Path) -> FlowRun:
    return FlowRun(flow_id=uuid4(), name="watch shop", parameters={"project": str(folder)})


def test_a_failure_that_stays_is_told_once_until_it_changes_or_a_run_succeeds(receiver, project) -> None:
    def fails(message: str, flow=watch) -> int:
        tell_failure(flow, run(project.root), Failed(message=message))
        return len(receiver.received)

    assert [fails("down"), fails("down"), fails("down", learn)] == [1, 1, 2], "once for each flow"
    assert [fails("denied"), fails("denied"), fails("down")] == [3, 3, 4]
    succeeded(project, "learn")
    assert fails("down") == 4
    succeeded(project, "watch")
    assert fails("down") == 5
    assert receiver.received[0]["text"] == "shop: watch (watch shop) failed\ndown"


def test_a_failure_that_could_not_be_told_is_told_when_it_is_met_again(receiver, project, monkeypatch) -> None:
    monkeypatch.setenv("NOTICES", "http://127.0.0.1:9/")
    tell_failure(watch, run(project.root), Failed(message="down"))
    monkeypatch.setenv("NOTICES", receiver.url)
    tell_failure(watch, run(project.root), Failed(message="down"))
    assert len(receiver.received) == 1
