from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cl.config import Config, parse
from cl.decision.decide import decide
from cl.decision.situation import Situation
from cl.drift.correct import correct_for_multiplicity
from cl.drift.detect import compare_snapshots, detect_drift
from cl.models.snapshot import Snapshot
from cl.records import Drift, Finding, Validation

LABELS = ("card", "fee", "loan", "parcel", "refund")


def world(rows: int, seed: int, *, shift: float = 0.0, mix: list[float] | None = None, right: float = 0.9) -> Snapshot:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"{seed}-{at}" for at in range(rows)], "text": "a text"})
    frame["label"] = frame["prediction"] = rng.choice(LABELS, rows, p=mix)
    frame["confidence"] = rng.beta(8, 1, rows)
    frame["score"] = (rng.uniform(size=rows) < right).astype(float)
    return Snapshot(frame, (rng.normal(size=(rows, 384)) + shift).astype(np.float32), LABELS)


def settings(**changes: object) -> Config:
    return parse({"drift": {"report": "off", **changes}}, where="test")


def seen(reference: Snapshot | None, new: Snapshot, *, folder: Path = Path("unused"), **changes: object) -> Drift:
    return compare_snapshots(settings(**changes), "0002-may", reference, new, folder=folder)


def alarms(found: Drift) -> set[str]:
    return {finding.detector for finding in found.findings if finding.drifted}


def test_the_chance_of_any_false_alarm_is_alpha() -> None:
    false = sum(seen(world(200, seed), world(100, 1_000 + seed), alpha=0.05).drifted for seed in range(60))
    assert false <= 8  # 9 or more of 60 at 5 % have a chance of 0.2 %


@pytest.mark.parametrize(
    ("changed", "detectors"),
    [
        ({"shift": 0.15}, {"embedding_mmd"}),
        ({"mix": [0.4, 0.15, 0.15, 0.15, 0.15]}, {"label_mix", "prediction_mix"}),
        ({"right": 0.7}, {"performance"}),
    ],
)
def test_each_change_is_seen_by_its_detectors_and_no_other(changed, detectors) -> None:
    found = seen(world(500, 0), world(250, 1, **changed))
    assert found.drifted
    assert alarms(found) == detectors


def test_five_per_cent_of_rows_with_a_new_intent_are_seen() -> None:
    new = world(250, 1)
    new.frame.loc[:11, "label"] = "warranty"
    found = seen(world(500, 0), new)
    assert alarms(found) == {"new_labels"}
    assert found.new_labels == ["warranty"]


def test_a_quiet_month_is_quiet_and_keeps_its_numbers() -> None:
    new = world(250, 1)
    found = seen(world(500, 0), new)
    assert not found.drifted and found.report is None
    assert found.champion_score == pytest.approx(new.frame["score"].mean())
    assert [finding.detector for finding in found.findings] == settings().drift.detectors


def test_the_same_rows_give_the_same_findings_again() -> None:
    assert seen(world(80, 0), world(60, 1)) == seen(world(80, 0), world(60, 1))


def test_the_same_evidence_counts_for_less_the_more_checks_there_have_been() -> None:
    reference, new = world(500, 0), world(250, 1, right=0.79)
    early, late = (compare_snapshots(settings(), "9", reference, new, folder=Path("x"), check=at) for at in (1, 400))
    assert early.level > 100 * late.level and early.types == ["concept"] and late.types == []


def test_the_correction_takes_back_what_one_test_alone_would_call_drift() -> None:
    each = [
        Finding(detector=f"d{at}", kind="inputs", drifted=at == 0, p_value=p, summary="")
        for at, p in enumerate((0.008, 0.5))
    ]
    rule = Finding(detector="rule", kind="new_labels", drifted=True, summary="")
    assert [finding.drifted for finding in correct_for_multiplicity([*each, rule], alpha=0.01)] == [False, False, True]


def test_a_detector_that_is_restless_in_quiet_months_must_see_more() -> None:
    restless = [
        Drift(experience=str(at), drifted=False, findings=[
            Finding(detector="performance", kind="performance", drifted=False, p_value=0.01, summary="")
        ])
        for at in range(12)
    ]  # fmt: skip
    reference, new = world(500, 0), world(250, 1, right=0.79)

    def checked(quiet: list[Drift]) -> Finding:
        found = compare_snapshots(settings(), "9", reference, new, folder=Path("x"), quiet=quiet)
        return next(one for one in found.findings if one.detector == "performance")

    calm, wary = checked([]), checked(restless)
    assert calm.drifted and calm.spread == 1.0
    assert not wary.drifted and wary.p_value == calm.p_value
    assert wary.spread > 10 and "quiet checks scattered 14.6 times as widely" in wary.summary


def test_an_alarm_names_what_moved_and_twenty_rows_that_show_it() -> None:
    reference, new = world(500, 0), world(250, 1, right=0.6)
    new.frame.loc[new.frame["label"] == "loan", "score"] = 0.0
    new.frame.loc[new.frame["label"] == "loan", "text"] = "my loan please"
    finding = next(one for one in seen(reference, new).findings if one.detector == "performance")
    assert finding.drifted and finding.moved[0].name == "loan" and finding.moved[0].after == 0.0
    assert finding.moved[0].low == 0.0 and 0 < finding.moved[0].high < 0.1
    wrong = new.frame[new.frame["id"].isin(finding.examples)]
    assert len(finding.examples) == 20 and not wrong["score"].any()


@pytest.mark.parametrize(
    ("changed", "kind"), [({"shift": 0.15}, "inputs"), ({"mix": [0.6, 0.1, 0.1, 0.1, 0.1]}, "labels")]
)
def test_every_alarm_shows_rows(changed, kind) -> None:
    found = [one for one in seen(world(500, 0), world(250, 1, **changed)).findings if one.drifted]
    assert kind in {one.kind for one in found}
    assert all(len(one.examples) == 20 for one in found)


ORDINARY, SHIFTED = [0.2, 0.2, 0.2, 0.2, 0.2], [0.45, 0.25, 0.1, 0.1, 0.1]


def topics(rows: int, seed: int, *, mix: list[float] = ORDINARY, shift: float = 0.0) -> Snapshot:
    """Rows whose embeddings, confidence and answers depend on their label."""
    rng, side = np.random.default_rng(seed), world(rows, seed, mix=mix)
    which = side.frame["label"].map(LABELS.index).to_numpy()
    side.frame["confidence"] = rng.beta(4 + 2 * which, 1)
    missed = rng.uniform(size=rows) < 0.1
    side.frame.loc[missed, "prediction"] = rng.choice(LABELS, int(missed.sum()))
    embeddings = 0.3 * np.eye(5, 384)[which] * 5 + rng.normal(size=(rows, 384)) / 4 + shift * np.eye(5, 384)[4]
    return Snapshot(side.frame, embeddings.astype(np.float32), LABELS)


def decided(found: Drift) -> str:
    bounds = parse({"decide": {"answer": {"labels": "none"}}}, where="test")
    return decide(bounds, Validation(passed=True), found, Situation(waiting_rows=300)).action


@pytest.mark.parametrize("rows", [400, 4_000])
def test_labels_in_other_shares_alone_are_drift_of_labels_and_need_not_be_learnt(rows) -> None:
    found = seen(topics(1_000, 0), topics(rows, 1, mix=SHIFTED))
    assert {"label_mix", "prediction_mix", "embedding_mmd"} <= alarms(found)
    assert found.types == ["labels"] and decided(found) == "none"
    told = {one.detector: one for one in found.findings}["embedding_mmd"]
    assert told.drifted and told.explained_by == "label_mix"
    assert "on label-matched samples" in told.summary and "no drift remains" in told.summary


# one more than the most: a chance of 0.5 % in 15 at 5 %, of 0.3 % in 40
@pytest.mark.parametrize(("streams", "most"), [(15, 3), pytest.param(40, 6, marks=pytest.mark.nightly)])
def test_labels_in_other_shares_alone_are_taken_for_more_no_oftener_than_alpha_says(streams, most) -> None:
    found = [seen(topics(500, seed), topics(300, 700 + seed, mix=SHIFTED)) for seed in range(streams)]
    assert all("labels" in one.types for one in found)
    assert sum(one.types != ["labels"] for one in found) <= most


@pytest.mark.parametrize("shift", [0.25, 0.6])
def test_other_texts_are_drift_of_inputs_whatever_the_labels_do(shift) -> None:
    found = seen(topics(1_000, 0), topics(400, 1, mix=SHIFTED, shift=shift))
    assert found.types == ["inputs", "labels"] and decided(found) == "learn"
    assert seen(topics(1_000, 0), topics(400, 1, shift=shift)).types == ["inputs"]


def test_where_like_labels_are_too_few_an_alarm_stays_what_it_was() -> None:
    new = topics(400, 1, mix=[0.0, 0.0, 0.0, 0.01, 0.99])
    found = seen(topics(1_000, 0, mix=[0.33, 0.33, 0.33, 0.01, 0.0]), new)
    assert found.types == ["inputs", "labels"]
    assert all(one.explained_by is None for one in found.findings)


def test_a_finding_of_an_older_version_still_loads() -> None:
    old = {"detector": "novelty", "kind": "inputs", "drifted": True, "summary": "far"}
    assert Drift(experience="1", drifted=True, findings=[Finding.model_validate(old)]).types == ["inputs"]


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows_are_no_drift_and_no_error(rows) -> None:
    found = seen(world(500, 0), world(rows, 1))
    assert not found.drifted
    assert (found.champion_score is None) == (rows == 0)


def test_without_a_reference_every_label_is_new_and_nothing_drifts() -> None:
    new = world(50, 1)
    found = seen(None, Snapshot(new.frame, new.embeddings))
    assert found == Drift(experience="0002-may", drifted=False, new_labels=list(LABELS))


@pytest.mark.usefixtures("evidently_imported")
def test_evidently_writes_its_report_where_it_is_told(tmp_path) -> None:
    found = seen(world(60, 0), world(40, 1), report="always", detectors=[], folder=tmp_path / "drift")
    assert found.report == str(tmp_path / "drift")
    assert (tmp_path / "drift" / "drift.html").stat().st_size > 100_000


@pytest.mark.usefixtures("evidently_imported")
@pytest.mark.parametrize(
    ("shift", "when", "written"), [(0.5, "on_drift", True), (0.0, "on_drift", False), (0.5, "off", False)]
)
def test_the_report_is_written_when_it_is_wanted(shift, when, written, tmp_path) -> None:
    found = seen(
        world(60, 0), world(40, 1, shift=shift), report=when, detectors=["embedding_mmd"], folder=tmp_path / "drift"
    )
    assert found.drifted == (shift > 0)
    assert (found.report is not None) == (tmp_path / "drift" / "drift.html").exists() == written


@pytest.mark.parametrize("when", ["always", "on_drift"])
def test_without_evidently_drift_is_found_and_the_report_is_named_with_its_extra(
    when, tmp_path, caplog, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "evidently", None)
    with caplog.at_level("WARNING"):
        found = seen(
            world(60, 0), world(40, 1, shift=3.0), report=when, detectors=["embedding_mmd"], folder=tmp_path / "drift"
        )
    assert found.drifted and found.report is None
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        "no drift report: Evidently's report needs evidently: pip install 'perennial-ml[report]'; "
        "or set drift.report: off"
    )


@pytest.mark.usefixtures("evidently_imported")
def test_a_report_that_fails_does_not_stop_the_cycle(tmp_path, caplog) -> None:
    (tmp_path / "drift").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        found = seen(world(60, 0), world(40, 1), report="always", detectors=[], folder=tmp_path / "drift")
    assert found.report is None
    assert "no drift report" in caplog.text


class Held:
    """An experience in memory, in place of one on disk."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    def column(self, id: str, name: str) -> pd.DataFrame:
        return self.rows[[name]]

    def rows_at(self, id: str, places: np.ndarray) -> pd.DataFrame:
        return self.rows.iloc[places].reset_index(drop=True)


def test_the_stage_sees_an_experience_through_the_champion(tiny_config, sentences, tmp_path) -> None:
    from cl.models.build import grow_labels, new_learner
    from cl.models.persistence import load_learner, save_learner
    from cl.models.snapshot import save_reference, take_snapshot
    from cl.records.history import History
    from cl.stores.version_folder import save_history

    champion = tmp_path / "champion"
    config = tiny_config(drift={"report": "off"})
    save_learner(grow_labels(new_learner(config), ["fee", "loan"], seed=0), champion)
    save_reference(take_snapshot(load_learner(champion), sentences(["fee", "loan"], 60, seed=1)), champion)
    save_history(History(score=0.5), champion)

    rows = Held(sentences(["fee", "loan", "lamp"], 36, seed=24))
    found = detect_drift(config, experience="0002-may", champion=champion, rows=rows, folder=tmp_path)
    assert found.drifted and found.new_labels == ["lamp"] and found.promotion_score == 0.5
    few = tiny_config(drift={"report": "off", "max_rows": 20})
    sampled = detect_drift(few, experience="0002-may", champion=champion, rows=rows, folder=tmp_path)
    assert "12 rows with labels the champion has never seen: lamp (12)" in {one.summary for one in sampled.findings}
    assert any("distance of 20 new from " in one.summary for one in sampled.findings)
    assert "12 rows with labels the champion has never seen: lamp (12)" in {one.summary for one in found.findings}
    lamps = set(rows.rows.loc[rows.rows["label"] == "lamp", "id"])
    for seen in (found, sampled):
        finding = next(one for one in seen.findings if one.detector == "new_labels")
        assert set(finding.examples) == lamps, "all of them, also those that the sample of 20 rows left out"


def test_the_first_experience_has_only_new_labels(sentences, tmp_path) -> None:
    found = detect_drift(
        settings(),
        experience="1",
        champion=None,
        rows=Held(sentences(["loan", "fee"], 8)),
        folder=tmp_path,
    )
    assert found == Drift(experience="1", drifted=False, new_labels=["fee", "loan"])


def test_the_first_sentences_have_entity_types_for_new_labels(tmp_path) -> None:
    rows = pd.DataFrame(
        {
            "id": ["1", "2"],
            "tokens": [["anna", "in", "york"], ["no"]],
            "tags": [["B-PER", "O", "B-LOC"], ["O"]],
        }
    )
    config = parse({"task": "token_classification"}, where="test")
    found = detect_drift(config, experience="1", champion=None, rows=Held(rows), folder=tmp_path)
    assert found.new_labels == ["LOC", "PER"]
