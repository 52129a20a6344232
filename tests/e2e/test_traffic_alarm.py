"""An alarm on answers that have no labels, through the watch flow on a real Prefect server."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cl.lifecycle import run_waiting
from tests.support import warm
from tests.support.servers import PrefectServer, Receiver, until
from tests.support.tiny import made_sentences, tiny_project
from tests.support.traffic import serve

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


def events(server: PrefectServer, resource: str) -> list[dict[str, Any]]:
    asked = {"filter": {"resource": {"id": [resource]}}}
    return server.post("events/filter", asked)["events"]


def look(root: str, environment: dict[str, str]) -> None:
    """Look in a process of its own, in which Prefect is not imported before its settings are there."""
    os.environ.update(environment)
    from flows.watch import watch

    watch(root)


@pytest.mark.parametrize(
    ("answer", "resource"), [("labels", "cl.traffic.ask-labels"), ("learn", "cl.stream.ask-learn")]
)
def test_an_alarm_is_told_once_and_starts_the_learning_flow_only_where_that_is_asked_for(
    tmp_path, tiny_model, server, answer, resource
) -> None:
    receiver = Receiver()
    drift = {"report": "off", "traffic": {"min_rows": 60, "answer": answer}}
    triggers = {"settle_seconds": 0, "notify": {"webhook": "env:NOTICES"}}
    project = tiny_project(tmp_path / "shop", tiny_model, name=f"ask-{answer}", drift=drift, triggers=triggers)
    made_sentences(["loan", "fee"], 400, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    run_waiting(project)
    serve(project, ["box", "lamp"], 200, seed=6, at=datetime.now(UTC) - timedelta(hours=1))
    for _ in range(2):
        warm.call(tmp_path / "said", look, str(project.root), {**server.environment, "NOTICES": receiver.url})
    (event,) = until(lambda: events(server, resource), seconds=120, what="the event")
    assert event["event"] in ("cl.drift.detected", "cl.performance.decayed") and event["payload"]["alarms"]
    assert not events(server, "cl.stream.ask-labels" if answer == "labels" else "cl.traffic.ask-learn")
    (told,) = [one for one in receiver.received if "without labels" in one["title"]]
    assert "label these first" in told["text"]
    (shown,) = server.artifacts(f"ask-{answer}-traffic-alarm")
    assert "200 rows, compared with version 1." in shown and "Rows that show it" in shown
    assert json.loads(server.artifacts(f"ask-{answer}-traffic-detectors")[0])
