"""A person decides between the gates and the promotion, on a real Prefect server.

The tests are one story, in order. CI runs a shorter one: test_unattended.py.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.desk import Shop, new_shop
from tests.support.servers import until

pytestmark = [pytest.mark.alone, pytest.mark.nightly]
SILENCE = 80
"""Seconds after which a run without heartbeats would be declared dead."""


@pytest.fixture(scope="module")
def shop(server, tmp_path_factory, tiny_model) -> Iterator[Shop]:
    with new_shop(tmp_path_factory.mktemp("story"), tiny_model, server, "approval") as shop:
        shop.desk.configure(
            gates=[{"name": "floor", "min": 0.05}],
            promotion={"approval": "person"},
            triggers={"watch_minutes": 0.15, "settle_seconds": 0, "notify": {"webhook": "env:NOTICES"}},
        )
        shop.start()
        yield shop


def test_a_version_that_waits_holds_neither_the_slot_nor_the_lock_and_a_later_one_takes_its_place(shop) -> None:
    shop.arrives(["loan", "fee"], seed=1)
    (first,) = until(shop.suspended, seconds=300, what="the first suspended run")
    since = time.monotonic()
    status = shop.desk.json("status")
    assert status["champion"] is None and status["approval"]["to_version"] == "1"
    assert shop.told("approval") == [
        "approval: version 1, trained on 0001-month-1, awaits approval: cl approve 1, or cl reject 1 --why TEXT"
    ]

    shop.arrives(["loan", "fee"], seed=2)
    until(lambda: [one for one in shop.suspended() if one["id"] != first["id"]], seconds=300, what="the second cycle")
    assert shop.ended(first["id"])["state"]["name"] == "Decided"
    last = shop.desk.json("history")[-1]
    assert last["training"]["experiences"] == ["0001-month-1", "0002-month-2"], "what waits is learnt along"
    stale = shop.desk.cl("approve", "1")
    assert stale.returncode == 1 and "version 2 waits in its place" in stale.stderr
    time.sleep(max(0.0, SILENCE - (time.monotonic() - since)))
    assert not shop.runs("CRASHED"), "a suspended run has no heartbeat, and is not dead"


def test_an_answer_on_prefects_page_decides_and_a_later_one_says_who_was_first(shop) -> None:
    (run,) = shop.suspended()
    assert shop.resume(run["id"], why="no word about yes or no") == "REJECT"
    assert shop.resume(run["id"], approve=True, why="looks good", who="Ana") == "ACCEPT"
    over = shop.ended(run["id"])
    assert over["state_type"] == "COMPLETED", over["state"]["message"]
    entry = shop.desk.json("audit")["entries"][-1]
    assert (entry["action"], entry["to_version"], entry["why"], entry["state"]) == (
        "approve", "2", "looks good", "committed",
    )  # fmt: skip
    assert entry["actor"].startswith("Ana on Prefect's page, ") and shop.desk.json("status")["champion"] == "2"
    late = shop.desk.cl("reject", "2", "--why", "too late")
    assert late.returncode == 1 and "decided by Ana" in late.stderr and "Traceback" not in late.stderr
    assert shop.told("promotion") == ["approval: version 2 is the champion"]


def test_of_two_answers_at_once_one_decides(shop) -> None:
    shop.arrives(["loan", "box"], seed=3)
    (run,) = until(shop.suspended, seconds=300, what="the third suspended run")
    command = shop.desk.command("approve", "3", "--json")
    by_hand = subprocess.Popen(command, env=shop.server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shop.resume(run["id"], approve=False, why="not yet", who="Ben")
    out, _ = by_hand.communicate()
    shop.ended(run["id"])
    words = [one for one in shop.desk.json("audit")["entries"] if one["to_version"] == "3" and one["action"] != "wait"]
    assert len(words) == 1 and words[0]["state"] == "committed"
    approved = words[0]["action"] == "approve"
    assert by_hand.returncode == (0 if approved else 1) and shop.desk.json("status")["champion"] == (
        "3" if approved else "2"
    )
    if approved:
        assert json.loads(out)["sequence"] == words[0]["sequence"]
    assert shop.desk.json("status")["approval"] is None
