"""Runs that are asked for, on a Prefect server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Completed, Scheduled

from cl.config import parse
from flows.deployments import learning_deployment
from flows.run_requests import absorb, request
from tests.support.desk import reported_to  # noqa: F401

pytestmark = [
    pytest.mark.usefixtures("reported_to"),
    pytest.mark.timeout(240),  # the first may wait for the start of the server
]


@pytest.fixture
def shop(tmp_path) -> tuple[Path, UUID]:
    """A project whose learning flow is deployed under a name of its own."""
    config = parse({"name": tmp_path.name.replace("_", "-")}, where="test")
    (tmp_path / "cl.yaml").write_text(f"name: {config.name}\n")
    return tmp_path, learning_deployment(tmp_path, config).apply(_sync=True)  # type: ignore[call-arg]


def ends(run: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Completed(), force=True)


def test_a_request_whose_run_has_ended_already_is_a_new_run(shop) -> None:
    folder, deployment = shop
    soon = datetime.now(UTC) + timedelta(seconds=10)
    with get_client(sync_client=True) as client:
        scheduled = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=soon))
    ends(scheduled.id)  # due in a moment, so the newest there is, though it came before the requests
    first = request(folder, None)
    assert request(folder, None).id == first.id
    ends(first.id)
    second = request(folder, None)
    ends(second.id)
    third = request(folder, None)
    assert len({first.id, second.id, third.id}) == 3 and not third.state.is_final()


def test_what_is_queued_is_absorbed_by_a_run_that_does_it_all_and_not_by_one_that_does_one_thing(shop) -> None:
    folder, deployment = shop
    queued, retry = request(folder, None), request(folder, "0001-one")
    with get_client(sync_client=True) as client:
        working = client.create_flow_run_from_deployment(deployment)
        assert absorb("learn", folder.name.replace("_", "-"), working.id, again="0002-two") == 0
        assert client.read_flow_run(queued.id).state.name == "Scheduled"
        assert absorb("learn", folder.name.replace("_", "-"), working.id) == 1
        assert client.read_flow_run(queued.id).state.name == "Absorbed"
        assert client.read_flow_run(retry.id).state.name == "Scheduled"
