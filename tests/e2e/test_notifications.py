"""Notices to a real receiver, and through a real block that a Prefect server keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception
from uuid import uuid4

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed

from cl import config as configuration
from cl.config import NotificationSettings
from cl.errors import StoreError
from cl.monitoring.notices import failure_notice
from cl.records import Move
from cl.stores.ledger.ledger import Ledger
from cl.stores.project_folder import ProjectFolder
from flows.cycle import learn
from flows.notifications import deliver, forget_failure, notify_failure, notify_moved_aliases, send
from flows.watch import watch
from tests.support.desk import reported_to  # noqa: F401
from tests.support.servers import Receiver

pytestmark = [
    pytest.mark.usefixtures("reported_to"),
    pytest.mark.timeout(240),  # the first may wait for the start of the server
]


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("NOTICES", receiver.url)
    yield receiver
    receiver.close()


@pytest.fixture
def project(tmp_path) -> ProjectFolder:
    (tmp_path / "cl.yaml").write_text("name: shop\ntriggers: {notify: {webhook: 'env:NOTICES'}}\n")
    return ProjectFolder(tmp_path)


@pytest.fixture(scope="module")
def refusing_block() -> Iterator[str]:
    """A block whose URL holds a token, and whose receiver answers 500."""
    receiver = Receiver(answer=500)
    block = CustomWebhookNotificationBlock(
        name="refusing", url=f"{receiver.url}hook?token=s3cret", json_data={"text": "{{body}}"}
    )
    block.save("refusing", _sync=True)  # type: ignore[call-arg]
    yield "custom-webhook/refusing"
    receiver.close()


def test_a_block_that_cannot_deliver_keeps_its_token_out_of_states_and_logs(refusing_block, caplog) -> None:
    notice = failure_notice("shop", "watch", "down")
    with pytest.raises(StoreError, match=r"'custom-webhook/refusing' could not deliver: HTTPStatusError") as error:
        send(NotificationSettings(block=refusing_block), notice)
    assert "s3cret" not in "".join(format_exception(error.value))
    state = deliver.with_options(retries=0)(NotificationSettings(block=refusing_block), notice, return_state=True)
    assert "could not deliver" in state.message
    assert "s3cret" not in state.message and "s3cret" not in caplog.text


def run(folder: Path) -> FlowRun:
    return FlowRun(flow_id=uuid4(), name="watch shop", parameters={"project": str(folder)})


def test_a_failure_that_stays_is_told_once_until_it_changes_or_a_run_succeeds(receiver, project) -> None:
    def fails(message: str, flow=watch) -> int:
        notify_failure(flow, run(project.root), Failed(message=message))
        return len(receiver.received)

    assert [fails("down"), fails("down"), fails("down", learn)] == [1, 1, 2], "once for each flow"
    assert [fails("denied"), fails("denied"), fails("down")] == [3, 3, 4]
    forget_failure(project, "learn")
    assert fails("down") == 4
    forget_failure(project, "watch")
    assert fails("down") == 5
    assert receiver.received[0]["text"] == "shop: watch (watch shop) failed\ndown"


def test_a_failure_that_could_not_be_told_is_told_when_it_is_met_again(receiver, project, monkeypatch) -> None:
    monkeypatch.setenv("NOTICES", "http://127.0.0.1:9/")
    notify_failure(watch, run(project.root), Failed(message="down"))
    monkeypatch.setenv("NOTICES", receiver.url)
    notify_failure(watch, run(project.root), Failed(message="down"))
    assert len(receiver.received) == 1


def test_each_alias_that_was_moved_by_hand_is_told_once(receiver, project) -> None:
    config, ledger = configuration.load(project.config), Ledger(f"sqlite:///{project.root}/ledger.db")

    def write(action, alias, to) -> None:
        champion = ledger.champion("shop")
        move = Move(action=action, expected=champion, to=to, why="", actor="me", alias=alias)
        entry = ledger.intend("shop", move)
        ledger.commit("shop", entry)

    def told() -> list[str]:
        receiver.received.clear()
        notify_moved_aliases(project, config, ledger)
        return [one["title"] for one in receiver.received]

    write("promote", "champion", "1")
    assert told() == []
    write("alias_moved", "champion", "3")
    write("alias_moved", "canary", "2")
    assert told() == [
        "shop: the alias champion was moved by hand to version 3",
        "shop: the alias canary was moved by hand to version 2",
    ]
    assert told() == []
    write("alias_moved", "champion", None)
    assert told() == ["shop: the alias champion was moved by hand to version none"]
    assert "it was moved back to version 1; ledger entry 4" in receiver.received[0]["text"]
