from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.errors import ConfigError
from cl.gating.gate import gate, judge
from cl.records import Evaluation, Score


@pytest.fixture
def evaluation(tmp_path) -> Evaluation:
    rows = pd.DataFrame({"experience": "a", "challenger_score": [1.0] * 60 + [0.0] * 40, "champion_score": [1.0] * 100})
    rows.to_parquet(tmp_path / "predictions.parquet")
    return Evaluation(
        metric="accuracy", challenger=[Score(experience="a", rows=100, value=0.6)], accuracy=0.6,
        newest="a", calibration_error=0.1, latency_ms=5.0, size_mb=1.0,
        predictions=str(tmp_path / "predictions.parquet"),
    )  # fmt: skip


def test_verdicts_come_in_the_configurations_order_and_one_refusal_refuses(tiny_config, evaluation, caplog) -> None:
    config = tiny_config(gates=["no_regression", {"name": "floor", "min": 0.5}])
    caplog.set_level("INFO")
    report = gate(config, evaluation)
    assert [verdict.gate for verdict in report.verdicts] == ["no_regression", "floor"]
    assert [verdict.passed for verdict in report.verdicts] == [False, True]
    assert not report.passed
    assert "gate no_regression refuses" in caplog.text


def test_without_gates_everything_passes(tiny_config, evaluation) -> None:
    assert gate(tiny_config(gates=[]), evaluation).passed


def test_the_same_seed_gives_the_same_verdicts(tiny_config, evaluation) -> None:
    config = tiny_config(gates=["no_regression"])
    assert gate(config, evaluation) == gate(config, evaluation)


def test_a_gate_on_a_metric_that_is_not_there_is_a_mistake_in_the_configuration(tiny_config, evaluation) -> None:
    with pytest.raises(ConfigError, match="no metric 'f1'"):
        gate(tiny_config(gates=[{"name": "floor", "metric": "f1", "min": 0.5}]), evaluation)


# three rows of forty lost, one gained
UNSURE = pd.DataFrame({
    "experience": "a", "challenger_score": [0.0] * 3 + [1.0] * 37, "best_score": [1.0] * 39 + [0.0],
})  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "passed", "verdicts"),
    [
        ({}, True, [(True, True)]),
        ({"undecided": "block"}, False, [(False, True)]),
        ({"undecided": "block", "mode": "dry_run"}, True, [(False, True)]),
        ({"mode": "off"}, True, []),
    ],
)
def test_what_a_verdict_is_worth_is_the_policys_to_say(tiny_config, evaluation, policy, passed, verdicts) -> None:
    config = tiny_config(gates=[{"name": "forgetting", "max": 0.03}], gate_policy=policy)
    report = judge(config, evaluation.model_copy(update={"forgetting": {"a": 0.05}}), UNSURE)
    assert report.passed is passed and report.mode == policy.get("mode", "enforce")
    assert [(one.passed, one.undecided) for one in report.verdicts] == verdicts


def test_an_undecided_gate_says_how_many_rows_would_decide(tiny_config, evaluation) -> None:
    scored = evaluation.model_copy(update={"forgetting": {"a": 0.05}})
    (verdict,) = judge(tiny_config(gates=[{"name": "forgetting", "max": 0.03}]), scored, UNSURE).verdicts
    assert verdict.rows_needed == 106


MANY = [
    {"name": "no_regression", "margin": 0.0, "resamples": 200},
    {"name": "no_regression", "margin": 0.0, "over": "each", "resamples": 200},
    {"name": "rule", "on": "each_class", "relative": {"resamples": 200}},
    {"name": "rule", "on": {"length": [50, 100, 150]}, "relative": {"test": "mcnemar"}},
    {"name": "rule", "of": "brier", "relative": {"resamples": 200}},
]


def equals(seed: int) -> pd.DataFrame:
    """Rows of a challenger that is as good as its champion: each is right or wrong in the other's place."""
    rng = np.random.default_rng(seed)
    pair = np.where(rng.random((300, 1)) < 0.15, rng.permuted(np.tile([0.0, 1.0], (300, 1)), axis=1), 1.0)
    names = {"experience": ["a", "b", "c"], "target": list("uvwxyz")}
    cut = {name: rng.choice(values, 300) for name, values in names.items()}
    return pd.DataFrame({
        **cut, "chars": rng.integers(1, 200, 300), "challenger_score": pair[:, 0], "champion_score": pair[:, 1],
        "challenger_brier": 1 - pair[:, 0], "champion_brier": 1 - pair[:, 1],
    })  # fmt: skip


# one more than the most: a chance of 1 % in 50 at 5 %, of 3 % in 100
@pytest.mark.parametrize(("times", "most"), [(50, 6), pytest.param(100, 9, marks=pytest.mark.nightly)])
def test_an_equal_challenger_is_refused_by_any_gate_no_more_often_than_the_confidence_says(
    tiny_config, evaluation, times, most
) -> None:
    cycles = [equals(seed) for seed in range(times)]
    refused = {
        correction: sum(
            not judge(tiny_config(gates=MANY, gate_policy={"correction": correction}), evaluation, rows).passed
            for rows in cycles
        )
        for correction in ("holm", "none")
    }
    assert refused["holm"] <= most
    assert refused["none"] > refused["holm"], "without a correction, every gate has its own chance of a false alarm"


def test_what_many_comparisons_may_show_by_chance_is_undecided_and_a_clear_loss_is_not(tiny_config, evaluation) -> None:
    rows = equals(0).assign(champion_score=1.0, challenger_score=[0.0] * 8 + [1.0] * 292, champion_brier=1.0)
    alone = {"name": "no_regression", "margin": 0.0}
    assert not judge(tiny_config(gates=[alone]), evaluation, rows).passed
    report = judge(tiny_config(gates=[alone, *MANY[2:]]), evaluation, rows.assign(challenger_brier=1.0))
    verdict = report.verdicts[0]
    assert verdict.undecided and verdict.rows_needed > 300
    assert verdict.why.endswith("among 12 comparisons this may be chance (Holm)")
    lost = rows.assign(challenger_score=[0.0] * 60 + [1.0] * 240, challenger_brier=1.0)
    assert not judge(tiny_config(gates=[alone, *MANY[2:]]), evaluation, lost).passed


def test_gates_that_test_nothing_are_left_as_they_are(tiny_config, evaluation) -> None:
    rows = equals(0)
    gates = [{"name": "rule", "min": 0.99}, {"name": "rule", "of": "score", "on": "each_class", "relative": {}}]
    report = judge(tiny_config(gates=gates), evaluation, rows)
    assert [one.passed for one in report.verdicts] == [False, True]


def test_the_table_has_a_row_for_each_gate_and_group(tiny_config, evaluation) -> None:
    gates = [{"name": "floor", "min": 0.5}, {"name": "rule", "on": "each_class", "relative": {"margin": 0.9}}]
    table = pd.DataFrame(judge(tiny_config(gates=gates), evaluation, equals(1)).table)
    assert table["gate"].tolist() == ["floor"] + ["rule score on each_class"] * 6
    assert set(table["group"]) == {"all", *"uvwxyz"} and set(table["verdict"]) == {"pass"}
    assert table["p_value"].notna().sum() == 6 and table["rows"].sum() == 300
