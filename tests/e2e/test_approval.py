"""A person decides between the gates and the promotion, on a real Prefect server; the tests are one story, in order."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.test_triggers import Shop
from tests.support.desk import new_desk
from tests.support.servers import Receiver, until

pytestmark = [pytest.mark.alone]
SILENCE = 80
"""Seconds after which a run without heartbeats would be declared dead."""


@pytest.fixture(scope="module")
def shop(server, tmp_path_factory, tiny_model) -> Iterator[Shop]:
    receiver = Receiver()
    desk = new_desk(tmp_path_factory.mktemp("story") / "shop", tiny_model)
    (desk.project / "inbox").mkdir()
    desk.configure(
        name="shop",
        data={"source": {"name": "files", "path": "inbox"}, "split": {"validation": 0.1, "test": 0.3}},
        gates=[{"name": "floor", "min": 0.05}],
        promotion={"approval": "person"},
        triggers={"watch_minutes": 0.15, "settle_seconds": 0, "notify": {"webhook": "env:NOTICES"}},
    )
    shop = Shop(desk, server, receiver)
    shop.start()
    yield shop
    shop.switch_off()
    receiver.close()


def resume(shop: Shop, run: str, **word: Any) -> str:
    """Answer as Prefect's page does; return what the server says to it, once its SQLite is not locked (503)."""

    def answered() -> httpx.Response | None:
        answer = httpx.post(f"{shop.server.url}/flow_runs/{run}/resume", json={"run_input": word}, timeout=60)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    return str(until(answered, seconds=120, what=f"an answer about {run}").json()["status"])


def suspended(shop: Shop) -> list[dict[str, Any]]:
    return [one for one in shop.runs("PAUSED") if one["state_name"] == "Suspended"]


def ended(shop: Shop, run: str) -> dict[str, Any]:
    """Return a run when it has ended."""
    over = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return until(lambda: (found := shop.server.run(run))["state_type"] in over and found, seconds=300, what="its end")


def test_a_version_that_waits_holds_neither_the_slot_nor_the_lock_and_a_later_one_takes_its_place(shop) -> None:
    shop.arrives(["loan", "fee"], seed=1)
    (first,) = until(lambda: suspended(shop), seconds=300, what="the first suspended run")
    since = time.monotonic()
    status = shop.desk.json("status")
    assert status["champion"] is None and status["approval"]["to_version"] == "1"
    assert shop.told("approval") == [
        "shop: version 1, having learnt 0001-month-1, waits for a person: cl approve 1, or cl reject 1 --why TEXT"
    ]

    shop.arrives(["loan", "fee"], seed=2)
    until(lambda: [one for one in suspended(shop) if one["id"] != first["id"]], seconds=300, what="the second cycle")
    assert ended(shop, first["id"])["state"]["name"] == "Decided"
    last = shop.desk.json("history")[-1]
    assert last["training"]["experiences"] == ["0001-month-1", "0002-month-2"], "what waits is learnt along"
    stale = shop.desk.cl("approve", "1")
    assert stale.returncode == 1 and "version 2 waits in its place" in stale.stderr
    time.sleep(max(0.0, SILENCE - (time.monotonic() - since)))
    assert not shop.runs("CRASHED"), "a suspended run has no heartbeat, and is not dead"


def test_an_answer_on_prefects_page_decides_and_a_later_one_says_who_was_first(shop) -> None:
    (run,) = suspended(shop)
    assert resume(shop, run["id"], why="no word about yes or no") == "REJECT"
    assert resume(shop, run["id"], approve=True, why="looks good", who="Ana") == "ACCEPT"
    over = ended(shop, run["id"])
    assert over["state_type"] == "COMPLETED", over["state"]["message"]
    entry = shop.desk.json("audit")["entries"][-1]
    assert (entry["action"], entry["to_version"], entry["why"], entry["state"]) == (
        "approve", "2", "looks good", "committed",
    )  # fmt: skip
    assert entry["actor"].startswith("Ana on Prefect's page, ") and shop.desk.json("status")["champion"] == "2"
    late = shop.desk.cl("reject", "2", "--why", "too late")
    assert late.returncode == 1 and "decided by Ana" in late.stderr and "Traceback" not in late.stderr
    assert shop.told("promotion") == ["shop: version 2 is the champion"]


def test_of_two_answers_at_once_one_decides(shop) -> None:
    shop.arrives(["loan", "box"], seed=3)
    (run,) = until(lambda: suspended(shop), seconds=300, what="the third suspended run")
    command = shop.desk.command("approve", "3", "--json")
    by_hand = subprocess.Popen(command, env=shop.server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    resume(shop, run["id"], approve=False, why="not yet", who="Ben")
    out, _ = by_hand.communicate()
    ended(shop, run["id"])
    words = [one for one in shop.desk.json("audit")["entries"] if one["to_version"] == "3" and one["action"] != "wait"]
    assert len(words) == 1 and words[0]["state"] == "committed"
    approved = words[0]["action"] == "approve"
    assert by_hand.returncode == (0 if approved else 1) and shop.desk.json("status")["champion"] == (
        "3" if approved else "2"
    )
    if approved:
        assert json.loads(out)["sequence"] == words[0]["sequence"]
    assert shop.desk.json("status")["approval"] is None
