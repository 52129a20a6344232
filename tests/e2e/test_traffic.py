from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cl.asking import TrafficLook
from cl.config import Config, parse
from cl.errors import ConfigError
from cl.lifecycle import learn
from cl.records import Drift, Finding
from cl.reports.alarm import alarm_text
from cl.reports.notices import of_traffic
from cl.stores.local import Project
from cl.stores.predictions import Predictions
from cl.traffic import looks, watch_traffic
from tests.support.tiny import made_sentences, tiny_project
from tests.support.traffic import serve

DAY = timedelta(days=1)


def test_what_is_served_is_looked_at_once_a_day_without_labels_and_each_look_is_a_check(tmp_path, tiny_model) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model, drift={"report": "off", "traffic": {"min_rows": 60}})
    now = datetime.now(UTC)
    assert watch_traffic(project) is None
    serve(project, ["loan", "fee"], 200, seed=5, at=now)
    assert watch_traffic(project, now=now + DAY) is None, "there is no champion to compare with"
    made_sentences(["loan", "fee"], 400, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    learn(project)

    quiet = watch_traffic(project, now=now + DAY)
    assert quiet is not None and quiet.rows == 200 and not quiet.drift.drifted and quiet.champion == "1"
    assert {one.detector for one in quiet.drift.findings} >= {"estimated_performance", "novelty", "descriptors"}
    assert quiet.drift.champion_score is None

    serve(project, ["box", "lamp"], 200, seed=6, at=now + DAY)
    assert watch_traffic(project, now=now + 1.5 * DAY) == quiet, "it is not time yet"
    loud = watch_traffic(project, now=now + 2.5 * DAY)
    assert loud is not None and loud.drift.drifted and loud.rows == 200 and loud.since == quiet.until
    assert loud.drift.check == (quiet.drift.check or 0) + 1 and loud.drift.level < quiet.drift.level
    assert loud.event in ("cl.drift.detected", "cl.performance.decayed")
    told = of_traffic("shop", loud)
    assert told is not None and told.about == "alarm" and "label these first" in told.text and "r6-" in told.text
    assert of_traffic("shop", quiet) is None
    assert looks(project) == [quiet, loud]

    made_sentences(["loan", "fee"], 80, seed=8).to_csv(project.root / "inbox" / "two.csv", index=False)
    (cycle,) = learn(project)
    assert cycle.drift.check == (loud.drift.check or 0) + 1, "no share of alpha is spent twice"

    serve(project, ["box", "lamp"], 100, seed=7, at=now + 3 * DAY, labelled=50)
    assert watch_traffic(project, now=now + 4 * DAY) == loud, "labelled rows become an experience; too few are left"


def test_a_sample_is_the_same_every_time_and_holds_no_shadow(tmp_path) -> None:
    project, now = Project(tmp_path), datetime(2026, 5, 1, tzinfo=UTC)
    for day in range(4):
        serve(project, ["loan"], 50, seed=day, at=now + day * DAY)
    times = [(now + day * DAY).isoformat(timespec="microseconds") for day in range(4)]
    found = Predictions(project).sample(times[0], times[2], most=30)
    assert len(found) == 30 and found["id"].is_unique and set(found["role"]) == {"champion"}
    assert set(found["at"]) == {times[1], times[2]}
    assert Predictions(project).sample(times[0], times[2], most=30).equals(found)
    assert len(Predictions(project).sample("", times[3], most=10_000)) == 200


def test_an_alarm_says_in_whose_answers_it_was_seen() -> None:
    finding = Finding(detector="novelty", kind="inputs", drifted=True, p_value=0.001, summary="odd", examples=["a"])
    drift = Drift(experience="traffic-0007", drifted=True, findings=[finding], check=7, level=0.01)
    look = TrafficLook(champion="3", since="", until="2026-01-01", rows=512, drift=drift)
    text = alarm_text(look, drift, "3", lambda _, ids: {"a": "where is <it>"})
    assert "# Alarm on traffic-0007" in text and "512 rows, compared with version 3." in text
    assert "where is &lt;it>" in text and look.event == "cl.drift.detected"


def test_a_detector_that_needs_labels_cannot_watch_what_has_none() -> None:
    with pytest.raises(ConfigError, match="'performance' needs labels, and unlabelled answers have none"):
        parse({"drift": {"traffic": {"detectors": ["novelty", "performance"]}}}, where="test")


def test_how_traffic_is_watched_does_not_change_what_a_cycle_is() -> None:
    assert parse({"drift": {"traffic": {"every_hours": 1}}}, where="test").digest == Config().digest
