from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cl.config import Config, TriggerSettings, parse
from cl.errors import SourceError
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.sources.files import Files
from cl.ingestion.sources.sql import Sql
from cl.monitoring.notified import forget_notified, is_new, notify_once, remember_notified
from cl.monitoring.triggers import (
    DriftCheck,
    RequestedRun,
    absorbed_requests,
    attempts_exhausted,
    next_trigger,
    request_key,
    trigger_reason,
)
from cl.records import Drift, Experience, Finding
from cl.stores.data.rejected_batches import read_rejected
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences


def alarm(*kinds: str) -> Drift:
    found = [Finding(detector=kind, kind=kind, drifted=True, summary="moved") for kind in kinds]
    return Drift(experience="0002-may", drifted=bool(kinds), findings=found)


def looked(cycle: str = "c1", asks: str = "drift") -> DriftCheck:
    experience = Experience(
        id="0002-may", name="may", source="may.csv", ingested_at=datetime.now(UTC), rows={}, labels={}, digest="d"
    )
    return DriftCheck(cycle=cycle, experience=experience, champion="1", drift=alarm(), asks=asks)


def run(state: str, cycle: str | None = "c1") -> RequestedRun:
    return RequestedRun(id="r", cycle=cycle, again=None, state=state)


@pytest.mark.parametrize(
    ("kinds", "wanted", "asks"),
    [
        ([], ["performance", "drift", "arrival"], "arrival"),
        (["inputs"], ["performance", "drift", "arrival"], "drift"),
        (["inputs", "performance"], ["performance", "drift", "arrival"], "performance"),
        (["inputs", "performance"], ["drift"], "drift"),
        (["performance"], ["arrival"], "arrival"),
        (["performance"], [], "performance"),
    ],
)
def test_a_look_asks_for_the_gravest_reason_that_starts_a_cycle(kinds, wanted, asks) -> None:
    assert trigger_reason(alarm(*kinds), wanted) == asks


def test_while_a_run_waits_or_works_none_is_asked_for() -> None:
    one, bounds = looked(), TriggerSettings()
    assert next_trigger([one], [], bounds) == one
    assert next_trigger([one], [run("waiting", None)], bounds) is None
    assert next_trigger([one], [run("working")], bounds) is None


def test_a_run_that_ended_without_the_cycle_is_asked_for_again_so_that_no_event_is_lost() -> None:
    assert next_trigger([looked()], [run("ended")], TriggerSettings()) is not None


def test_while_the_oldest_cycle_has_failed_too_often_nothing_is_asked_for_as_no_run_gets_past_it() -> None:
    bounds, oldest, next_one, failed = TriggerSettings(), looked(), looked("c2", "performance"), [run("failed")] * 3
    assert attempts_exhausted([oldest, next_one], failed[:2], bounds) is None
    assert next_trigger([oldest, next_one], failed[:2], bounds) == next_one
    assert attempts_exhausted([oldest, next_one], failed, bounds) == oldest
    assert next_trigger([oldest, next_one], failed, bounds) is None
    assert next_trigger([next_one], failed, bounds) == next_one, "somebody has seen to it"
    assert attempts_exhausted([], failed, bounds) is None and next_trigger([], failed, bounds) is None


def test_a_run_does_what_is_queued_beside_it_unless_it_tries_one_experience_again() -> None:
    plain = RequestedRun(id="a", cycle=None, again=None, state="waiting")
    retry = RequestedRun(id="b", cycle=None, again="0001-one", state="waiting")
    assert absorbed_requests([plain, retry], None) == [plain]
    assert absorbed_requests([plain, retry], "0002-two") == [], "what it leaves undone stays queued"


def test_requests_are_the_same_until_a_run_begins() -> None:
    done, works, waits = (
        RequestedRun(id=id, cycle=None, again=None, state=state)
        for id, state in (("a", "ended"), ("b", "working"), ("c", "waiting"))
    )
    assert request_key([waits, works, done], None) == request_key([works, done], None) != request_key([done], None)
    assert request_key([works], "0001-one") != request_key([works], None)
    assert request_key([], None) == request_key([waits], None)


def test_the_gravest_look_gives_the_event_its_name() -> None:
    looks = [looked("c1", "arrival"), looked("c2", "performance"), looked("c3", "drift")]
    assert next_trigger(looks, [], TriggerSettings()).event == "cl.performance.decayed"
    assert next_trigger(looks, [], TriggerSettings(learn_on=["drift"])).event == "cl.drift.detected"
    assert next_trigger(looks, [], TriggerSettings(learn_on=[])) is None


def inbox(tmp_path: Path) -> tuple[ProjectFolder, Files]:
    (tmp_path / "inbox").mkdir()
    return ProjectFolder(tmp_path), Files(path="inbox")


def test_an_empty_inbox_is_no_error_when_nobody_stands_beside(tmp_path) -> None:
    project, source = inbox(tmp_path)
    assert ingest_settled(Config(), project, source, settle=0.0) == []


def test_a_file_that_is_still_being_written_is_left_for_the_next_look(tmp_path) -> None:
    project, source = inbox(tmp_path)
    file = tmp_path / "inbox" / "may.csv"
    made_sentences(["a", "b"], 40).to_csv(file, index=False)
    assert ingest_settled(Config(), project, source, settle=60.0) == []
    os.utime(file, (time.time() - 61,) * 2)
    assert [one.id for one in ingest_settled(Config(), project, source, settle=60.0)] == ["0001-may"]


def test_an_input_is_read_again_only_when_it_has_changed(tmp_path) -> None:
    project, source = inbox(tmp_path)
    reads: list[int] = []

    class Counted(Files):
        def batches(self, root: Path, *, chunk_rows: int) -> Any:
            reads.append(1)
            return super().batches(root, chunk_rows=chunk_rows)

    counted = Counted(path=source.path)
    made_sentences(["a", "b"], 40).to_csv(tmp_path / "inbox" / "may.csv", index=False)
    for _ in range(3):
        ingest_settled(Config(), project, counted, settle=0.0)
    assert len(reads) == 1
    made_sentences(["a", "b"], 40, seed=2).to_csv(tmp_path / "inbox" / "june.csv", index=False)
    assert [one.id for one in ingest_settled(Config(), project, counted, settle=0.0)] == ["0002-june"]
    assert len(reads) == 2


BROKEN = [
    ("april.csv", b"", "april.csv: is empty (0 bytes)"),
    ("april.csv", b"id,text,label\n", "a header but no rows"),
    ("april.parquet", b"PAR1 but no more", "cannot be read"),
    ("april.jsonl.gz", b"\x1f\x8bnot gzip", "not a complete gzip file"),
    ("april.csv", b"id,text,label\n1,,a\n2,,b\n", "no good row among 2"),
    ("april.csv", b"id,text\n1,lost card\n", "label"),
]


@pytest.mark.parametrize(("name", "content", "why"), BROKEN)
def test_one_bad_file_does_not_keep_the_others_waiting_and_is_tried_again_when_it_changes(
    tmp_path, name, content, why
) -> None:
    project, source = inbox(tmp_path)
    bad = tmp_path / "inbox" / name
    bad.write_bytes(content)
    arrive(tmp_path, "may.csv", seed=1)
    assert [one.id for one in ingest_settled(Config(), project, source, settle=0.0)] == ["0001-may"]
    (first,) = read_rejected(project)
    assert first.origin == f"inbox/{name}" and why in first.why

    arrive(tmp_path, "june.csv", seed=2)
    assert [one.id for one in ingest_settled(Config(), project, source, settle=0.0)] == ["0002-june"]
    assert read_rejected(project) == [first], "it is known by its stamp, so it is no news"
    with pytest.raises(SourceError, match=re.escape(name)):
        ingest(Config(), project, source)

    bad.unlink()
    arrive(tmp_path, "april.csv", seed=3)
    assert [one.id for one in ingest_settled(Config(), project, source, settle=0.0)] == ["0003-april"]
    assert read_rejected(project) == []


def test_a_refused_file_is_tried_again_when_the_configuration_changes(tmp_path) -> None:
    project, source = inbox(tmp_path)
    made_sentences(["a", "b"], 40).rename(columns={"label": "intent"}).to_csv(tmp_path / "inbox/may.csv", index=False)
    assert ingest_settled(Config(), project, source, settle=0.0) == []
    corrected = parse({"data": {"label": "intent"}}, where="test")
    assert [one.id for one in ingest_settled(corrected, project, source, settle=0.0)] == ["0001-may"]
    assert read_rejected(project) == []


def test_a_database_that_cannot_be_read_is_a_failure_as_it_has_no_stamp(tmp_path) -> None:
    source = Sql(url="sqlite:///rows.db", query="select id, text, label from tickets")
    with pytest.raises(SourceError, match="no such database"):
        ingest_settled(Config(), ProjectFolder(tmp_path), source, settle=0.0)


def arrive(root: Path, name: str, *, seed: int) -> None:
    made_sentences(["a", "b"], 40, seed=seed).to_csv(root / "inbox" / name, index=False)


def test_a_table_is_watched_as_a_folder_is(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    source = Sql(url="sqlite:///rows.db", query="select id, text, label from tickets", batch="tickets")

    def arrive(seed: int) -> list[str]:
        with closing(sqlite3.connect(tmp_path / "rows.db")) as database:
            made_sentences(["a", "b"], 40, seed=seed).to_sql("tickets", database, if_exists="append", index=False)
        return [one.id for one in ingest_settled(Config(), project, source, settle=60.0)]

    assert arrive(1) == ["0001-tickets"]
    assert ingest_settled(Config(), project, source, settle=60.0) == []
    assert arrive(2) == ["0002-tickets"]


def test_what_was_told_is_told_once_and_what_could_not_be_told_is_told_again(tmp_path) -> None:
    told: list[str] = []
    project = ProjectFolder(tmp_path)

    def fails() -> None:
        raise OSError

    with pytest.raises(OSError):
        notify_once(project, "look 1", fails)
    for _ in range(3):
        notify_once(project, "look 1", lambda: told.append("alarm"))
    assert told == ["alarm"]


def test_what_says_something_else_or_was_forgotten_is_told_again(tmp_path) -> None:
    told: list[str] = []
    project = ProjectFolder(tmp_path)
    for word in ("down", "down", "denied", "denied", "down"):
        notify_once(project, "failure", lambda word=word: told.append(word), saying=word)
    assert told == ["down", "denied", "down"]
    forget_notified(project, "failure")
    forget_notified(project, "failure")
    notify_once(project, "failure", lambda: told.append("down"), saying="down")
    assert told == ["down", "denied", "down", "down"]


def test_only_the_newest_keys_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cl.monitoring.notified.KEPT", 2)
    project = ProjectFolder(tmp_path)
    for at, key in enumerate("abc"):
        remember_notified(project, key)
        for file in (project.work / "notified").glob("*.txt"):
            os.utime(file, (at, at)) if file.read_text() == f"{key}\n" else None
    assert [is_new(project, key) for key in "abc"] == [True, False, False]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"notify": {"webhook": "https://chat.example/secret"}}, "triggers.notify.webhook"),
        (
            {"timezone": "Mars/Base"},
            "triggers.timezone: no time zone 'Mars/Base'; use a name such as UTC or Europe/Berlin",
        ),
        ({"watch_minutes": 0}, "triggers.watch_minutes must be more than 0, got 0"),
        ({"learn_on": ["drifft"]}, "triggers.learn_on"),
    ],
)
def test_wrong_triggers_are_told_when_the_configuration_is_read(given, message) -> None:
    from cl.errors import ConfigError

    with pytest.raises(ConfigError) as error:
        parse({"triggers": given}, where="test")
    assert message in str(error.value)


def test_triggers_do_not_change_what_a_cycle_is() -> None:
    assert parse({"triggers": {"watch_minutes": 1}}, where="test").digest == Config().digest
