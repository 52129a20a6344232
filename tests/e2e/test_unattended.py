"""A project that works by itself and one that asks a person, on one real Prefect server.

The tests are one story, in order: a version waits for a person for as long as all the rest takes. The same scenarios in
full run at night: test_triggers.py, test_approval.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from flows.automations import SILENCE
from tests.support.desk import Shop, new_shop
from tests.support.servers import until

pytestmark = [pytest.mark.alone]
LATE = 15
"""Seconds that the server may need to see that a heartbeat is missing: it looks every five."""


@pytest.fixture(scope="module")
def shop(server, tmp_path_factory, tiny_model) -> Iterator[Shop]:
    """A project that nobody looks after."""
    with new_shop(tmp_path_factory.mktemp("unattended"), tiny_model, server, "unattended") as shop:
        shop.desk.configure(
            # long enough for a middle in which its machine can die
            training={"epochs": 150, "patience": 150, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"},
            triggers={
                "watch_minutes": 0.5,
                "settle_seconds": 0,
                "notify": {"webhook": "env:NOTICES", "block": shop.make_block()},
            },
        )
        yield shop


@pytest.fixture(scope="module")
def asking(server, tmp_path_factory, tiny_model) -> Iterator[Shop]:
    """A project whose versions wait for a person."""
    with new_shop(tmp_path_factory.mktemp("asking"), tiny_model, server, "asking") as shop:
        shop.desk.configure(
            gates=[{"name": "floor", "min": 0.05}],
            promotion={"approval": "person"},
            # a run is asked for by hand: looks would only take time
            triggers={"watch_minutes": 60, "settle_seconds": 0, "notify": {"webhook": "env:NOTICES"}},
        )
        yield shop


@pytest.fixture(scope="module")
def waited(asking) -> float:
    """Return since when the version of the project that asks waits."""
    asking.arrives(["loan", "fee"], seed=1)
    asking.start()
    asking.asks()
    until(asking.suspended, seconds=300, what="the suspended run")
    return time.monotonic()


def test_a_version_that_passed_its_gates_waits_for_a_person(asking, waited) -> None:
    status = asking.desk.json("status")
    assert status["champion"] is None and status["approval"]["to_version"] == "1"
    assert asking.told("approval") == [
        "asking: version 1, trained on 0001-month-1, awaits approval: cl approve 1, or cl reject 1 --why TEXT"
    ]


def test_the_next_run_finishes_what_a_dead_machine_began(shop) -> None:
    shop.arrives(["loan", "fee"], seed=1)
    shop.start()
    until(shop.trains, seconds=300, what="the first training")
    shop.switch_off()
    switched_off = datetime.now(UTC).isoformat()
    (working,) = shop.runs("RUNNING")
    assert working["parameters"]["reason"] == "cl.data.arrived"
    assert not shop.told("promotion"), "trained too fast to be in the middle"

    until(lambda: shop.runs("CRASHED"), seconds=240, what="the run of the dead machine to be declared crashed")
    (dead,) = shop.runs("CRASHED")
    assert dead["id"] == working["id"] and "no heartbeat" in dead["state"]["message"]
    until(lambda: shop.told_by_block("no heartbeat"), seconds=120, what="the notice of the failure")

    automations = shop.automations()
    switched_on = datetime.now(UTC).isoformat()
    shop.start()
    until(lambda: shop.told("promotion"), seconds=300, what="the first promotion")
    assert len(automations) == 2 and shop.automations() == automations, "they do not forget for which runs they wait"
    (cycle,) = shop.desk.json("history")
    assert cycle["id"] == dead["parameters"]["cycle"], "the cycle that was begun is the one that ended"
    assert shop.told("promotion") == ["unattended: version 1 is the new champion, trained on 0001-month-1"]
    assert len(shop.told_by_block("version 1 is the new champion")) == 1
    missed = [
        one for one in shop.server.runs("watch", shop.name) if switched_off < one["expected_start_time"] < switched_on
    ]
    assert missed and sum(one["state_type"] != "CANCELLED" for one in missed) <= 1, "one look does what was missed"


def test_drift_is_learnt_without_a_hand(shop) -> None:
    shop.arrives(["loan", "box"], seed=2)
    until(lambda: shop.told("promotion")[1:], seconds=300, what="the second promotion")
    until(lambda: not shop.runs("RUNNING", "PENDING", "SCHEDULED"), seconds=240, what="the end of all runs")
    shop.switch_off()  # its looks would take a processor from what follows

    status, history = shop.desk.json("status"), shop.desk.json("history")
    assert status["champion"] == "2" and status["waiting"] == []
    assert [cycle["experience"]["id"] for cycle in history] == ["0001-month-1", "0002-month-2"]
    last = shop.runs("COMPLETED")[-1]
    assert last["parameters"]["reason"] == "cl.drift.detected" and last["name"] == "learn shop (cl.drift.detected)"
    assert last["parameters"]["cycle"] == history[1]["id"]
    assert shop.told("alarm") == ["unattended: alarm on 0002-month-2"]
    (alarm,) = shop.server.artifacts("unattended-alarm")
    assert "## new_labels" in alarm and "| fee | 50.0 % | 0.0 % |" in alarm
    assert "0002-month-2: promoted" in "".join(shop.server.artifacts("unattended-cycle"))


def test_a_person_decides_on_prefects_page_when_the_run_was_silent_for_longer_than_a_dead_one_may(
    asking, waited
) -> None:
    time.sleep(max(0.0, SILENCE.seconds + LATE - (time.monotonic() - waited)))  # none, after the tests before
    assert not asking.runs("CRASHED"), "a suspended run has no heartbeat, and is not dead"
    (run,) = asking.suspended()
    assert asking.resume(run["id"], why="no word about yes or no") == "REJECT"
    assert asking.resume(run["id"], approve=True, why="looks good", who="Ana") == "ACCEPT"
    over = asking.ended(run["id"])
    assert over["state_type"] == "COMPLETED", over["state"]["message"]
    entry = asking.desk.json("audit")["entries"][-1]
    assert (entry["action"], entry["to_version"], entry["why"], entry["state"]) == (
        "approve", "1", "looks good", "committed",
    )  # fmt: skip
    assert entry["actor"].startswith("Ana on Prefect's page, ") and asking.desk.json("status")["champion"] == "1"
    late = asking.desk.cl("reject", "1", "--why", "too late")
    assert late.returncode == 1 and "decided by Ana" in late.stderr and "Traceback" not in late.stderr
    assert asking.told("promotion") == ["asking: version 1 is the champion"]
