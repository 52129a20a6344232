from __future__ import annotations

from datetime import UTC, datetime

from cl.monitoring.notices import alarm_notice, failure_notice
from cl.records import ChangedGroup, Drift, Experience, Finding
from cl.reports.drift_alarm import alarm_text, findings_table

LOUD = Finding(
    detector="label_mix",
    kind="labels",
    drifted=True,
    p_value=0.0001,
    summary="mix of 2 labels",
    moved=[ChangedGroup(name="fee | late", before=0.5, after=0.125)],
    examples=["r1", "gone"],
)
QUIET = Finding(detector="novelty", kind="inputs", drifted=False, p_value=0.5, summary="as ever")
SEEN = Drift(experience="0002-may", drifted=True, findings=[LOUD, QUIET], level=0.01)
MAY = Experience(
    id="0002-may", name="may", source="may.csv", ingested_at=datetime.now(UTC), rows={"train": 9}, labels={}, digest="d"
)


def test_an_alarm_says_which_detector_how_sure_what_moved_and_shows_rows() -> None:
    text = alarm_text(MAY, SEEN, "3", lambda experience, ids: {"r1": "where is <b>my</b>\n# fee"})
    assert "## label_mix: labels" in text and "novelty" not in text
    assert "p = 0.0001, and this check may spend 0.01" in text
    assert "| fee \\| late | 50.0 % | 12.5 % |" in text
    assert "- where is &lt;b>my&lt;/b> # fee" in text, "a row breaks neither the list nor the page"
    assert "| class or word | share in the reference | share in the new rows |" in text
    assert "gone" not in text


def test_a_slice_has_a_score_with_its_interval_and_no_share() -> None:
    fell = ChangedGroup(name="loan", before=0.92, after=0.78, low=0.703, high=0.809)
    seen = SEEN.model_copy(update={"findings": [LOUD.model_copy(update={"moved": [fell]})]})
    text = alarm_text(MAY, seen, "3", lambda experience, ids: {})
    assert "| class or slice | score on the reference | score on the new rows |" in text
    assert "| loan | 92.0 % | 78.0 % (70.3 to 80.9 %) |" in text


def test_the_table_of_detectors_has_the_quiet_ones_too() -> None:
    assert [(one["detector"], one["alarm"]) for one in findings_table(SEEN)] == [
        ("label_mix", "yes"),
        ("novelty", "no"),
    ]


def test_a_notice_is_whole_in_its_text() -> None:
    notice = alarm_notice("shop", "c1", "3", SEEN)
    assert notice and notice.text == "shop: alarm on 0002-may\nlabel_mix: mix of 2 labels"
    assert alarm_notice("shop", "c1", "3", SEEN.model_copy(update={"findings": [QUIET]})) is None
    assert failure_notice("shop", "learn (x)", "no heartbeat").text == "shop: learn (x) failed\nno heartbeat"
