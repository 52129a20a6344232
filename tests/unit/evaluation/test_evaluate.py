from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cl.backtesting.cost import count_passes
from cl.evaluation.continual import backward_transfer, forgetting
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.records.past_scores import PastScores, from_matrix
from cl.tasks.token_classification import TokenClassification
from cl.training.train import train

MATRIX = {
    "m1": {"m1": 0.9},
    "m2": {"m1": 0.8, "m2": 0.95},
    "m3": {"m1": 0.85, "m2": 0.85, "m3": 0.7},
}


def test_forgetting_is_the_best_past_score_minus_the_score_now() -> None:
    assert forgetting(MATRIX, "m3", {}) == pytest.approx({"m1": 0.05, "m2": 0.1})


def test_the_champions_score_counts_as_past_knowledge() -> None:
    assert forgetting(MATRIX, "m3", {"m1": 0.97, "m3": 0.2})["m1"] == pytest.approx(0.12)


def test_a_first_model_has_nothing_to_forget() -> None:
    assert forgetting({"m1": {"m1": 0.9}}, "m1", {}) == {}
    assert backward_transfer({"m1": {"m1": 0.9}}, "m1") is None


def test_backward_transfer_is_the_mean_change_since_first_scored() -> None:
    assert backward_transfer(MATRIX, "m3") == pytest.approx(((0.85 - 0.9) + (0.85 - 0.95)) / 2)


def first_of(rows_of) -> HeldOut:
    """Return what a first model is evaluated on."""
    return HeldOut(["a", "b"], PastScores(), rows_of)


def test_challenger_and_champion_are_scored_on_the_same_rows(tiny_config, sentences, tmp_path) -> None:
    def rows_of(ids, split):
        parts = [sentences(["loan", "fee"] if one == "a" else ["box"], 12, seed=len(split), prefix=one) for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    config = tiny_config()
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    train(config, champion=tmp_path / "1", new=["b"], past=["a"], rows_of=rows_of, folder=tmp_path / "2")
    found = evaluate(
        config,
        Candidates(challenger=tmp_path / "2", champion=tmp_path / "1"),
        HeldOut(["a", "b"], from_matrix({"a": {"a": 0.5}}), rows_of),
        folder=tmp_path,
    )
    rows = pd.read_parquet(found.predictions)
    assert list(rows.columns) == [
        "experience", "id", "target", "chars",
        "challenger", "challenger_score", "confidence", "challenger_brier",
        "champion", "champion_score", "champion_confidence", "champion_brier",
        "best_score",
    ]  # fmt: skip
    assert [score.experience for score in found.challenger] == ["a", "b"]
    assert found.champion[1].value == 0.0, "the champion has never seen the label 'box'"
    assert rows.groupby("experience")["challenger_score"].mean().to_dict() == {
        score.experience: score.value for score in found.challenger
    }
    assert found.newest == "b" and found.updates == 2 and set(found.row) == {"a", "b"}
    assert found.latency_ms > 0 and found.size_mb > 0.01


def test_columns_of_the_data_are_stored_where_a_rule_asks_for_them(tiny_config, sentences, tmp_path) -> None:
    def rows_of(ids, split):
        parts = [sentences(["loan", "fee"], 12, prefix=one) for one in ids]
        return pd.concat(
            [part.assign(channel="app", tone="kind") if part["id"][0][0] == "b" else part for part in parts]
        )

    gates = [{"name": "rule", "on": {"column": "channel"}, "min": 0.1}]
    config = tiny_config(gates=gates, data={"keep": ["channel", "tone"]})
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    found = evaluate(config, Candidates(challenger=tmp_path / "1"), first_of(rows_of), folder=tmp_path)
    stored = pd.read_parquet(found.predictions)
    assert "tone" not in stored and stored.groupby("experience")["channel"].count().to_dict() == {"a": 0, "b": 12}


def test_an_experience_without_test_rows_has_no_score_and_is_no_error(tiny_config, sentences, tmp_path) -> None:
    tested = ["a"]

    def rows_of(ids, split):
        sizes = {one: 0 if split == "test" and one not in tested else 12 for one in ids}
        return pd.concat([sentences(["loan", "fee"], rows, prefix=one + split) for one, rows in sizes.items()])

    train(tiny_config(), champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")

    def evaluated():
        return evaluate(
            tiny_config(),
            Candidates(challenger=tmp_path / "1"),
            first_of(rows_of),
            folder=tmp_path,
        )

    first = evaluated()
    assert [(score.experience, score.value is None) for score in first.challenger] == [("a", False), ("b", True)]
    assert first.accuracy == first.challenger[0].value and first.undecided == {"b": "it has no test rows"}
    tested.clear()
    nothing = evaluated()
    assert nothing.accuracy is nothing.calibration_error is nothing.latency_ms is None
    assert nothing.row == {} and nothing.updates == 1 and nothing.untested_classes == ["fee", "loan"]


def test_what_is_measured_of_both_models_is_the_same_again_but_for_times(tiny_config, sentences, tmp_path) -> None:
    def rows_of(ids, split):
        return pd.concat([sentences(["loan", "fee", "oos"], 30, seed=len(split), prefix=one) for one in ids])

    config = tiny_config(evaluation={"robustness_rows": 20, "latency_calls": 2, "out_of_scope": {"label": "oos"}})
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")

    def evaluated():
        return evaluate(
            config,
            Candidates(challenger=tmp_path / "1", champion=tmp_path / "1"),
            first_of(rows_of),
            folder=tmp_path,
        )

    first, rows = evaluated(), (tmp_path / "predictions.parquet").read_bytes()
    again = evaluated()
    assert rows == (tmp_path / "predictions.parquet").read_bytes(), "no time enters what verdicts are computed from"
    names = [
        "ece", "brier", "oos_auroc", "robustness_typos", "robustness_casing", "robustness_adversarial",
        "latency_p50_ms", "latency_p95_ms", "rows_per_second", "memory_mb", "size_mb",
    ]  # fmt: skip
    timed = {"latency_p50_ms", "latency_p95_ms", "rows_per_second"}
    assert list(first.numbers) == list(first.champion_numbers) == names
    same = {name: first.numbers[name] for name in names if name not in timed}
    assert same == {name: again.numbers[name] for name in same}
    assert same == {name: first.champion_numbers[name] for name in same}, "the same version, on the same rows"
    assert (first.calibration_error, first.size_mb) == (first.numbers["ece"], first.numbers["size_mb"])

    stored = pd.read_parquet(first.predictions)
    assert stored["challenger_brier"].mean() == pytest.approx(first.numbers["brier"])
    assert "text" not in stored and (stored["chars"] > 3).all()
    right = stored[stored["target"] == stored["challenger"]].groupby("target").size()
    counts = stored.groupby("target").size()
    assert {name: one["recall"] for name, one in first.per_class.items()} == {
        name: right.get(name, 0) / count for name, count in counts.items()
    }


def test_a_class_has_its_scores_over_entities_as_well() -> None:
    rows = pd.DataFrame({"tags": [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]})
    found = TokenClassification().per_class(rows, [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-PER"]])
    assert found["PER"] == pytest.approx({"count": 2, "precision": 2 / 3, "recall": 1.0, "f1": 0.8})
    assert found["LOC"] == {"count": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}


@pytest.fixture
def relearned(tiny_config, sentences, tmp_path):
    """Return what evaluates the second of two models, and what the first answered when it was the challenger."""

    def rows_of(ids, split):
        parts = [sentences(["loan", "fee"], 24, seed=len(split) + len(one), prefix=f"{one}-{split}") for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    config = tiny_config(evaluation={"latency_calls": 1, "throughput_rows": 1, "robustness": []})
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    train(config, champion=tmp_path / "1", new=["bb"], past=["a"], rows_of=rows_of, folder=tmp_path / "2")
    held_out = HeldOut(["a", "bb"], from_matrix({"a": {"a": 0.5}}), rows_of)
    (tmp_path / "earlier").mkdir()
    earlier = evaluate(
        config, Candidates(tmp_path / "1"), HeldOut(["a"], PastScores(), rows_of), folder=tmp_path / "earlier"
    )

    def again(answered, rows=rows_of):
        candidates = Candidates(tmp_path / "2", tmp_path / "1", answered=answered)
        with count_passes() as passes:
            found = evaluate(config, candidates, replace(held_out, rows_of=rows), folder=tmp_path)
        return found, pd.read_parquet(found.predictions), passes.forward

    return again, Path(earlier.predictions), rows_of


def test_what_a_champion_answered_before_is_taken_to_the_bit_and_only_new_rows_are_asked(relearned) -> None:
    again, stored, _ = relearned
    earlier = pd.read_parquet(stored)
    asked, rows_asked, passes_asked = again(None)
    found, rows, passes = again(stored)
    assert passes_asked - passes == len(earlier) == 24
    kept = rows[rows["experience"] == "a"]
    for now, then in (
        ("champion", "challenger"),
        ("champion_confidence", "confidence"),
        ("champion_brier", "challenger_brier"),
    ):
        assert kept[now].tolist() == earlier[then].tolist()
    assert found.champion == asked.champion and found.challenger == asked.challenger
    assert found.champion_per_class == asked.champion_per_class
    assert rows["champion"].equals(rows_asked["champion"])
    np.testing.assert_allclose(rows["champion_brier"], rows_asked["champion_brier"], atol=1e-6)


def test_a_row_whose_label_has_changed_since_is_asked_again(relearned) -> None:
    again, stored, rows_of = relearned

    def changed(ids, split):
        rows = rows_of(ids, split)
        return rows.assign(label=[label if row % 4 else "box" for row, label in enumerate(rows["label"])])

    asked, rows_asked, passes_asked = again(None, changed)
    found, rows, passes = again(stored, changed)
    assert passes_asked - passes == 18
    np.testing.assert_allclose(rows["champion_brier"], rows_asked["champion_brier"], atol=1e-6)
    assert found.champion == asked.champion
