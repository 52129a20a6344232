"""What is served is watched for days, without labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cl.lifecycle import run_waiting
from cl.monitoring.notices import traffic_notice
from cl.monitoring.traffic import read_traffic_checks, watch_traffic
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
    run_waiting(project)

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
    told = traffic_notice("shop", loud)
    assert told is not None and told.about == "alarm" and "label these first" in told.text and "r6-" in told.text
    assert traffic_notice("shop", quiet) is None
    assert read_traffic_checks(project) == [quiet, loud]

    made_sentences(["loan", "fee"], 80, seed=8).to_csv(project.root / "inbox" / "two.csv", index=False)
    (cycle,) = run_waiting(project)
    assert cycle.drift.check == (loud.drift.check or 0) + 1, "no share of alpha is spent twice"

    serve(project, ["box", "lamp"], 100, seed=7, at=now + 3 * DAY, labelled=50)
    assert watch_traffic(project, now=now + 4 * DAY) == loud, "labelled rows become an experience; too few are left"
