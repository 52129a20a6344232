"""Notices to a real receiver, and through a real block that is kept by Prefect's temporary server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception
from uuid import uuid4

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed
from prefect.testing.utilities import prefect_test_harness

from cl.config import load
from cl.errors import StoreError
from cl.reports.notices import of_failure
from cl.settings import Notify
from cl.stores.ledger import Ledger
from cl.stores.local import Project
from flows.cycle import learn
from flows.notifications import deliver, send, succeeded, tell_failure, tell_moved
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


@pytest.fixture(scope="module")
def refusing_block(tmp_path_factory) -> Iterator[str]:
    """A block whose URL holds a token, and whose receiver answers 500."""
    receiver = Receiver(answer=500)
    with prefect_test_harness(server_startup_timeout=120):
        block = CustomWebhookNotificationBlock(
            name="ops", url=f"{receiver.url}hook?token=s3cret", json_data={"text": "{{body}}"}
        )
        block.save("ops", _sync=True)
        yield "custom-webhook/ops"
    receiver.close()


def test_a_block_that_cannot_deliver_keeps_its_token_out_of_states_and_logs(refusing_block, caplog) -> None:
    notice = of_failure("shop", "watch", "down")
    with pytest.raises(StoreError, match=r"'custom-webhook/ops' could not deliver: HTTPStatusError") as error:
        send(Notify(block=refusing_block), notice)
    assert "s3cret" not in "".join(format_exception(error.value))
    state = deliver.with_options(retries=0)(Notify(block=refusing_block), notice, return_state=True)
    assert "could not deliver" in state.message
    assert "s3cret" not in state.message and "s3cret" not in caplog.text


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


def test_an_alias_that_was_moved_by_hand_is_told_once(receiver, project, refusing_block) -> None:
    ledger = Ledger(f"sqlite:///{project.root}/ledger.db")
    config = load(project.config)

    def found(version: str) -> None:
        given = {"expected": None, "to": version, "why": "found by hand", "actor": "me@here"}
        ledger.commit("shop", ledger.intend("shop", "alias_moved", **given))

    @flow
    def look() -> None:
        tell_moved(project, config, ledger)

    look()
    assert not receiver.received
    found("3")
    for _ in range(2):
        look()
    found("4")
    look()
    assert [one["title"] for one in receiver.received] == [
        "shop: the alias champion was moved by hand to version 3",
        "shop: the alias champion was moved by hand to version 4",
    ]
    assert receiver.received[0]["about"] == "alias" and "entry 1 of the ledger" in receiver.received[0]["text"]
