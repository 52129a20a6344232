"""What Prefect's server keeps as the logs of a flow run, and what the terminal shows of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.support.desk import Desk, new_desk, new_shop
from tests.support.servers import PrefectServer, until
from tests.support.stages import without_stages
from tests.support.tiny import made_sentences

STAGES = ["detect drift", "decide", "train", "evaluate", "gates", "register", "promote", "record"]


def new_project(folder: Path, tiny_model: Path, name: str) -> Desk:
    desk = new_desk(folder / "project", tiny_model)
    rows = folder / "rows.csv"
    made_sentences(["loan", "fee"], 80).to_csv(rows, index=False)
    model = {"name": str(tiny_model), "dropout": 0.0, "max_length": 32}
    desk.configure(name=name, ladder=[], strategy="ranpac", model=model)
    assert desk.cl("ingest", str(rows)).returncode == 0
    return desk


def logs_of(server: PrefectServer, run: str) -> list[str]:
    """Return the messages of a run at the server, the oldest first; an empty list if there is none yet."""
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
    return [entry["message"] for entry in server.post("logs/filter", wanted)]


def assert_tells_the_cycle(logs: list[str], experience: str, stages: list[str] = STAGES) -> None:
    positions = [logs.index(f"{experience}: {stage}") for stage in stages]
    assert positions == sorted(positions), "in the order of the cycle"
    assert any(line.startswith(f"{experience}: decision learn: ") for line in logs)
    assert any(line.startswith("gate floor passes: ") for line in logs)
    assert f"{experience}: promoted" in logs


def test_a_run_by_hand_at_a_server(server, tmp_path, tiny_model) -> None:
    desk = new_project(tmp_path, tiny_model, "logged")
    done = desk.cl("run", **server.environment)
    assert (done.returncode, without_stages(done.stderr)) == (0, []), done.stderr
    (run,) = [run for run in server.post("flow_runs/filter", {}) if run["parameters"]["project"] == str(desk.project)]
    assert_tells_the_cycle(logs_of(server, run["id"]), "0001-rows")


def test_a_run_with_the_temporary_server(tmp_path, tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = new_project(tmp_path, tiny_model, "alone")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    done = desk.cl("run", PREFECT_HOME=str(tmp_path / "prefect"))
    assert (done.returncode, without_stages(done.stderr)) == (0, []), done.stderr
    with sqlite3.connect(tmp_path / "prefect" / "prefect.db") as database:  # that server is gone: its database is not
        logs = [message for (message,) in database.execute("SELECT message FROM log ORDER BY timestamp")]
    assert_tells_the_cycle(logs, "0001-rows")


@pytest.mark.alone
def test_a_scheduled_run(server, tmp_path, tiny_model) -> None:
    with new_shop(tmp_path, tiny_model, server, "scheduled-logs") as shop:
        shop.desk.configure(
            ladder=[], strategy="ranpac", triggers={"watch_minutes": 60, "settle_seconds": 0, "learn_on": []}
        )
        shop.arrives(["loan", "fee"], seed=1)
        shop.start()
        shop.asks()
        until(lambda: shop.runs("COMPLETED"), seconds=300, what="a run that has ended")
        run = next(run for run in shop.runs("COMPLETED") if run["name"].startswith("learn"))
        until(lambda: "0001-month-1: promoted" in logs_of(server, run["id"]), seconds=60, what="its last message")
        logs = logs_of(server, run["id"])
        # the watch flow may have made the drift check before
        assert_tells_the_cycle(logs, "0001-month-1", [stage for stage in STAGES if stage != "detect drift"])
