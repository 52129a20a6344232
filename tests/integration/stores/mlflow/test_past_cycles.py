"""The index of the finished cycles: it follows MLflow's runs, and can be lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cl.records import Cycle, Decision, Drift, Experience, Finding, Validation
from cl.stores.mlflow.past_cycles import PAGE, PastCycles
from cl.stores.mlflow.registry import Registry
from tests.support.tiny import mlflow_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made_cycle(number: int, *, experience: str = "", drifted: bool = False) -> Cycle:
    name = experience or f"{number:04d}-day"
    alarm = Finding(detector="label_mix", kind="labels", drifted=drifted, summary="", examples=["row-1"])
    return Cycle(
        id=f"cycle-{number}",
        experience=Experience(id=name, name=name, source="x", ingested_at=NOW, rows={}, labels={}, digest=""),
        started_at=NOW + timedelta(days=number),
        seconds=1.0,
        data_version="",
        validation=Validation(passed=True),
        drift=Drift(experience=name, drifted=drifted, findings=[alarm], check=number, level=0.01),
        decision=Decision(action="none", reasons=["nothing has changed"]),
    )


@pytest.fixture
def registry(tmp_path) -> Registry:
    (tmp_path / "mlflow.db").write_bytes(mlflow_database())
    return Registry(
        f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "files"), "shop", kept=tmp_path / "work" / "finished"
    )


def record(registry: Registry, *cycles: Cycle) -> None:
    for cycle in cycles:
        run = registry.runs.start_run(cycle.id, cycle.experience.id, {})
        registry.runs.record_cycle(run, cycle.model_copy(update={"run": run}))


def again(registry: Registry) -> Registry:
    """Return the same registry as another process opens it."""
    return Registry(registry.tracking_uri, registry.artifacts, registry.model, kept=registry.runs.kept)


def test_the_index_answers_what_the_records_say(registry) -> None:
    cycles = [made_cycle(1), made_cycle(2, drifted=True), made_cycle(3, experience="0001-day")]
    record(registry, *cycles)
    past = registry.runs.past
    assert past.experiences() == {"0001-day", "0002-day"}
    assert past.attempts("0001-day") == 2
    assert past.last_check() == 3
    assert [outline.id for outline in past.newest_first()] == ["cycle-3", "cycle-2", "cycle-1"]
    assert [check.check for check in past.quiet_checks(most=1)] == [3]
    assert registry.runs.cycle(str(past.run_of("cycle-2"))).drift == cycles[1].drift
    assert [cycle.id for cycle in registry.runs.cycles(last=2)] == ["cycle-2", "cycle-3"]


def test_no_id_of_a_row_is_in_the_index(registry) -> None:
    record(registry, made_cycle(1, drifted=True))
    assert registry.runs.past.experiences()
    assert b"row-1" not in (registry.runs.kept.parent / "cycles.sqlite").read_bytes()


@pytest.mark.parametrize("damage", ["lost", "damaged", "of another format"])
def test_an_index_that_cannot_be_used_is_made_again(registry, damage) -> None:
    record(registry, made_cycle(1), made_cycle(2))
    before = [outline.id for outline in registry.runs.past.newest_first()]
    file = registry.runs.kept.parent / "cycles.sqlite"
    if damage == "of another format":
        import sqlite3

        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version = 99")
            connection.execute("DROP TABLE cycles")
    elif damage == "damaged":
        file.write_bytes(b"no database" * 500)
    else:
        file.unlink()
    assert [outline.id for outline in again(registry).runs.past.newest_first()] == before == ["cycle-2", "cycle-1"]


def test_a_cycle_that_is_set_aside_is_in_the_index_no_more(registry) -> None:
    record(registry, made_cycle(1))
    assert registry.runs.past.experiences() == {"0001-day"}
    other = again(registry)
    other.runs.set_cycles_aside()
    assert registry.runs.past.experiences() == other.runs.past.experiences() == set()


def test_a_record_is_read_once_however_often_it_is_asked_for(registry, monkeypatch) -> None:
    record(registry, made_cycle(1), made_cycle(2))
    assert registry.runs.past.experiences()
    monkeypatch.setattr("cl.stores.mlflow.runs.Cycle", None)  # reading a record would fail
    record_free = again(registry).runs.past
    assert record_free.experiences() == {"0001-day", "0002-day"}
    assert record_free.left_open(("none",))[0].experience == "0001-day"


def test_the_last_cycle_of_an_experience_says_whether_it_is_open() -> None:
    past = PastCycles(None)
    first, other, second = made_cycle(1), made_cycle(2), made_cycle(3, experience="0001-day")
    held = second.model_copy(update={"decision": Decision(action="hold", reasons=["too many broken rows"])})
    past.add({("a", 1): first, ("b", 2): other, ("c", 3): held})
    assert [outline.id for outline in past.left_open(("none",))] == ["cycle-2"]
    assert [outline.id for outline in past.left_open(("none", "held"))] == ["cycle-3", "cycle-2"]
    assert past.left_open(("waiting",)) == []


def test_more_cycles_than_a_page_are_read_in_order() -> None:
    past = PastCycles(None)
    count = 2 * PAGE + 1
    past.add({(f"run-{number % 7}-{number}", number // 3): made_cycle(number) for number in range(count)})
    numbers = [outline.drift.check for outline in past.newest_first()]
    assert sorted(numbers) == list(range(count))
    assert [number // 3 for number in numbers] == sorted((number // 3 for number in numbers), reverse=True)
