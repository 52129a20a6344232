from __future__ import annotations

import pandas as pd
import pytest

from cl.errors import ConfigError
from cl.gate import gate, judged
from cl.records import Evaluation, Score


@pytest.fixture
def evaluation(tmp_path) -> Evaluation:
    rows = pd.DataFrame({"experience": "a", "challenger_score": [1.0] * 60 + [0.0] * 40, "champion_score": [1.0] * 100})
    rows.to_parquet(tmp_path / "predictions.parquet")
    return Evaluation(
        metric="accuracy", challenger=[Score(experience="a", rows=100, value=0.6)], accuracy=0.6,
        matrix={"a": {"a": 0.6}}, calibration_error=0.1, latency_ms=5.0, size_mb=1.0,
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
    report = judged(config, evaluation.model_copy(update={"forgetting": {"a": 0.05}}), UNSURE)
    assert report.passed is passed and report.mode == policy.get("mode", "enforce")
    assert [(one.passed, one.undecided) for one in report.verdicts] == verdicts


def test_an_undecided_gate_says_how_many_rows_would_decide(tiny_config, evaluation) -> None:
    scored = evaluation.model_copy(update={"forgetting": {"a": 0.05}})
    (verdict,) = judged(tiny_config(gates=[{"name": "forgetting", "max": 0.03}]), scored, UNSURE).verdicts
    assert verdict.rows_needed == 106
