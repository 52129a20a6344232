"""A project that nobody stands beside, on a real Prefect server: machines die, the server is killed, cycles end once.

The tests are one story, in order. CI runs a shorter one: test_unattended.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.desk import Shop, new_desk, new_shop
from tests.support.repository import ROOT
from tests.support.servers import PrefectServer, until

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory) -> Iterator[PrefectServer]:
    """A server that only this story uses, so that it can be killed in the middle."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shop(own_server, tmp_path_factory, tiny_model) -> Iterator[Shop]:
    with new_shop(tmp_path_factory.mktemp("story"), tiny_model, own_server, "shop") as shop:
        shop.desk.configure(
            # long enough for a middle in which something can happen
            training={"epochs": 300, "patience": 300, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"},
            triggers={
                "watch_minutes": 0.2,
                "settle_seconds": 1,
                "notify": {"webhook": "env:NOTICES", "block": shop.make_block()},
            },
        )
        yield shop


def test_prefect_yaml_deploys_both_flows_to_a_work_pool_and_cl_yaml_says_what_starts_them(
    server, tmp_path, tiny_model
) -> None:
    desk = new_desk(tmp_path / "pooled", tiny_model)
    desk.configure(name="pooled", triggers={"learn_on": ["drift"]})
    early = desk.cl("schedule", "--automations-only", PREFECT_API_URL=server.url)
    assert early.returncode == 2 and "'learn/pooled' is not deployed on this server" in early.stderr

    root = ROOT
    environment = {
        **server.environment,
        "CL_PROJECT": str(desk.project),
        "CL_MODEL": "pooled",
        "CL_POOL": "desk",
    }

    server.post("work_pools/", {"name": "desk", "type": "process"})
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["entrypoint"]: one for one in server.post("deployments/filter", {}) if one["name"] == "pooled"}
    learn, watch = found["flows/cycle.py:learn"], found["flows/watch.py:watch"]
    assert learn["parameters"] == watch["parameters"] == {"project": str(desk.project)}
    assert learn["global_concurrency_limit"]["limit"] == watch["global_concurrency_limit"]["limit"] == 1
    assert learn["work_pool_name"] == "desk" and {"perennial", "pooled"} == set(learn["tags"])
    assert learn["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"

    def triggers() -> list[dict[str, Any]]:
        every = server.post("automations/filter", {})
        return [one for one in every if one["trigger"]["match"] == {"prefect.resource.id": "cl.stream.pooled"}]

    def set_up(*learn_on: str) -> list[dict[str, Any]]:
        desk.configure(triggers={"learn_on": list(learn_on)})
        done = desk.cl("schedule", "--automations-only", PREFECT_API_URL=server.url)
        assert done.returncode == 0, done.stderr
        return triggers()

    assert triggers() == []
    (one,) = set_up("drift")
    assert one["trigger"]["expect"] == ["cl.drift.detected"] and one["actions"][0]["deployment_id"] == learn["id"]
    assert set_up("drift") == [one]
    (one,) = set_up("drift", "performance")
    assert set(one["trigger"]["expect"]) == {"cl.drift.detected", "cl.performance.decayed"}
    subprocess.run(command, env=environment, cwd=root, capture_output=True, check=True)
    assert triggers() == [one], "deployed again, it stays"
    assert set_up() == []


def test_asked_twice_during_a_cycle_is_one_run_that_finishes_what_a_dead_machine_began(shop) -> None:
    shop.arrives(["loan", "fee"], seed=1)
    (shop.desk.project / "inbox/empty.csv").touch()
    shop.start()
    (working,) = until(lambda: shop.runs("RUNNING"), seconds=300, what="the first run")
    assert working["parameters"]["reason"] == "cl.data.arrived"
    until(shop.trains, seconds=180, what="the first training")  # what is asked for before it looks, it does
    asking = [
        subprocess.Popen(
            shop.desk.command("trigger", "--json"), env=shop.server.environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = {json.loads(one.communicate()[0])["id"] for one in asking}
    assert len(answers) == 1, "two askers, one run"
    assert not shop.told("promotion"), "trained too fast to be in the middle"
    shop.switch_off()
    died, switched_off = time.monotonic(), datetime.now(UTC).isoformat()

    until(lambda: shop.runs("CRASHED"), seconds=120, what="the run of the dead machine to be declared crashed")
    print(f"declared crashed after {time.monotonic() - died:.0f} s")
    (dead,), (queued,) = shop.runs("CRASHED"), shop.runs("SCHEDULED")
    assert dead["id"] == working["id"] and "no heartbeat" in dead["state"]["message"]
    assert queued["id"] in answers
    until(lambda: shop.told_by_block("no heartbeat"), seconds=90, what="the notice of the failure")

    automations = shop.automations()
    switched_on = datetime.now(UTC).isoformat()
    shop.start()
    until(lambda: shop.told("promotion"), seconds=180, what="the first promotion")
    until(lambda: shop.server.run(queued["id"])["state_type"] == "COMPLETED", seconds=90)
    assert len(automations) == 2 and shop.automations() == automations, "they do not forget for which runs they wait"
    (cycle,) = shop.desk.json("history")
    assert cycle["id"] == dead["parameters"]["cycle"], "the cycle that was begun is the one that ended"
    assert len(shop.runs("COMPLETED", "CRASHED", "RUNNING", "SCHEDULED")) == 2
    assert len(shop.told_by_block("version 1 is the new champion")) == 1
    assert [one for one in shop.told("failure") if "skipped" in one] == [
        "shop: cannot be read, skipped until changed: inbox/empty.csv"
    ]
    missed = [
        one for one in shop.server.runs("watch", shop.name) if switched_off < one["expected_start_time"] < switched_on
    ]
    assert len(missed) >= 3
    assert sum(one["state_type"] != "CANCELLED" for one in missed) <= 1, "looks that were missed are done by one"


def test_drift_is_learnt_without_a_hand_though_the_server_is_killed_in_the_middle(shop) -> None:
    shop.arrives(["loan", "box"], seed=2)
    until(shop.trains, seconds=300, what="the second training")
    shop.server.kill()
    time.sleep(2)
    assert len(shop.told("promotion")) == 1, "trained too fast to be in the middle"
    shop.server.start()
    until(lambda: shop.told("promotion")[1:], seconds=300, what="the second promotion")
    until(lambda: not shop.runs("RUNNING", "PENDING", "SCHEDULED"), seconds=180, what="the end of all runs")

    status, history = shop.desk.json("status"), shop.desk.json("history")
    assert status["champion"] == "2" and status["waiting"] == []
    assert [cycle["experience"]["id"] for cycle in history] == ["0001-month-1", "0002-month-2"]
    last = shop.runs("COMPLETED")[-1]
    assert last["parameters"]["reason"] == "cl.drift.detected" and last["name"] == "learn shop (cl.drift.detected)"
    assert last["parameters"]["cycle"] == history[1]["id"]
    assert shop.told("alarm") == ["shop: alarm on 0002-month-2"]
    (alarm,) = shop.server.artifacts("shop-alarm")
    assert "## new_labels" in alarm and "| fee | 50.0 % | 0.0 % |" in alarm
    assert "0002-month-2: promoted" in "".join(shop.server.artifacts("shop-cycle"))
    tasks = shop.server.post("task_runs/filter", {})
    names = {one["name"].rpartition("-")[0] for one in tasks}
    assert {"validate", "detect_drift", "decide", "train", "evaluate", "gate", "register", "promote"} <= names
    assert all("perennial" in one["tags"] for one in tasks)
