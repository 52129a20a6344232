from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cl.config import Config, parse
from cl.errors import ConfigError
from cl.monitoring.triggers import TrafficCheck
from cl.records import Drift, Finding
from cl.reports.drift_alarm import alarm_text
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from tests.support.traffic import serve

DAY = timedelta(days=1)


def test_a_sample_is_the_same_every_time_and_holds_no_shadow(tmp_path) -> None:
    project, now = ProjectFolder(tmp_path), datetime(2026, 5, 1, tzinfo=UTC)
    for day in range(4):
        serve(project, ["loan"], 50, seed=day, at=now + day * DAY)
    times = [(now + day * DAY).isoformat(timespec="microseconds") for day in range(4)]
    found = Predictions(project).sample(times[0], times[2], most=30)
    assert len(found) == 30 and found["id"].is_unique and set(found["role"]) == {"champion"}
    assert set(found["recorded_at"]) == {times[1], times[2]}
    assert Predictions(project).sample(times[0], times[2], most=30).equals(found)
    assert len(Predictions(project).sample("", times[3], most=10_000)) == 200


def test_an_alarm_says_in_whose_answers_it_was_seen() -> None:
    finding = Finding(detector="novelty", kind="inputs", drifted=True, p_value=0.001, summary="odd", examples=["a"])
    drift = Drift(experience="traffic-0007", drifted=True, findings=[finding], check=7, level=0.01)
    look = TrafficCheck(champion="3", since="", until="2026-01-01", rows=512, drift=drift)
    text = alarm_text(look, drift, "3", lambda _, ids: {"a": "where is <it>"})
    assert "# Alarm on traffic-0007" in text and "512 rows, compared with version 3." in text
    assert "where is &lt;it>" in text and look.event == "cl.drift.detected"


def test_a_detector_that_needs_labels_cannot_watch_what_has_none() -> None:
    with pytest.raises(ConfigError, match="'performance' needs labels, but served answers have none yet"):
        parse({"drift": {"traffic": {"detectors": ["novelty", "performance"]}}}, where="test")


def test_how_traffic_is_watched_does_not_change_what_a_cycle_is() -> None:
    assert parse({"drift": {"traffic": {"every_hours": 1}}}, where="test").digest == Config().digest
