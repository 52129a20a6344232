"""What an undecided score does to everything that reads scores: it is left out, and never counts as zero."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cl.evaluation import continual
from cl.gating.gates.ceiling import Ceiling
from cl.gating.gates.floor import Floor
from cl.gating.gates.forgetting import Forgetting
from cl.gating.gates.rule import Rule
from cl.records import Baselines, BaselineScores, Evaluation, Score
from cl.records.evaluation import decided, mean_score
from cl.registry.register import evaluation_metrics
from cl.reports.html import cycles_table, score_pairs, write_report
from cl.reports.measurements import describe_balance, describe_baselines, describe_score, format_forgotten
from cl.reports.terminal.cycles import cycle_line
from tests.support.cycles import made_cycle

WHY = "no entity occurs or is predicted in its 4 test rows"
MAY = Score(experience="may", rows=30, value=0.8, metrics={"f1": 0.8, "precision": 0.8, "recall": 0.8})
JUNE = Score(experience="june", rows=4, value=None, undecided=WHY)
JULY = Score(experience="july", rows=0, value=None, undecided="it has no test rows")
MONTHS = [MAY, JUNE, JULY]


def scored(scores: list[Score] = MONTHS, **changes: Any) -> Evaluation:
    named = [score.experience for score in scores]
    matrix = {name: decided(scores[: index + 1]) for index, name in enumerate(named)}
    fields: dict[str, Any] = {
        "metric": "f1",
        "challenger": scores,
        "champion": scores,
        "accuracy": mean_score(scores),
        "champion_accuracy": mean_score(scores),
        "matrix": matrix,
        "backward_transfer": continual.backward_transfer(matrix),
        "forgetting": continual.forgetting(matrix),
        "calibration_error": 0.1,
        "latency_ms": None,
        "size_mb": 1.0,
        "predictions": "",
    }
    return Evaluation(**{**fields, **changes})


def test_means_and_measures_of_forgetting_are_over_the_decided_months() -> None:
    evaluation = scored()
    assert evaluation.accuracy == 0.8 and evaluation.forgetting == {"may": 0.0} and evaluation.backward_transfer == 0.0
    assert evaluation.undecided == {"june": WHY, "july": "it has no test rows"}
    assert scored([JUNE, JULY]).accuracy is None and scored([JUNE, JULY]).forgetting_max is None
    assert scored([JUNE]).forgetting_max == 0.0


@pytest.mark.parametrize(
    "gate",
    [
        Floor(min=0.5, over="newest"),
        Floor(min=0.5, metric="recall", over="newest"),
        Ceiling(metric="latency_ms", max=1),
        Rule(of="f1", on="each_class", min=0.5),
    ],
)
def test_a_gate_on_what_no_row_decides_is_undecided(gate) -> None:
    assert gate.judge(scored(), pd.DataFrame(), seed=0).word == "undecided"


@pytest.mark.parametrize(
    "gate",
    [Floor(min=0.5), Floor(min=0.5, over="mean"), Rule(of="f1", on="each_experience", min=0.5), Rule(of="f1", min=0.5)],
)
def test_a_gate_over_all_months_leaves_the_undecided_out(gate) -> None:
    verdict = gate.judge(scored(), pd.DataFrame(), seed=0)
    assert verdict.word == "pass" and verdict.measured == pytest.approx(0.8)


def test_forgetting_that_no_past_month_decides_is_undecided() -> None:
    assert Forgetting(max=0.05).judge(scored([JUNE, JULY]), pd.DataFrame(), seed=0).word == "undecided"
    assert Forgetting(max=0.05).judge(scored([JUNE]), pd.DataFrame(), seed=0).word == "pass"


def test_one_false_entity_in_such_a_month_counts() -> None:
    false = Score(experience="june", rows=4, value=0.0, metrics={"f1": 0.0, "precision": 0.0, "macro_f1": 0.0})
    verdict = Floor(min=0.5).judge(scored([MAY, false]), pd.DataFrame(), seed=0)
    assert verdict.word == "fail" and verdict.why.startswith("june scores 0.000")


def test_mlflow_gets_only_decided_metrics() -> None:
    metrics = evaluation_metrics(scored())
    assert metrics["challenger/mean_f1"] == metrics["challenger/score/may"] == metrics["champion/score/may"] == 0.8
    assert not {"challenger/latency_p50_ms", "challenger/score/june", "champion/score/june"} & set(metrics)
    assert all(isinstance(value, float) for value in metrics.values())
    assert "challenger/mean_f1" not in evaluation_metrics(scored([JUNE]))


def test_the_strongest_baseline_is_a_decided_one() -> None:
    of = {"majority": BaselineScores(accuracy=None, scores=[JUNE]), "ncm": BaselineScores(accuracy=0.1, scores=[MAY])}
    assert Baselines(of=of).strongest == "ncm"
    assert Baselines(of={"majority": of["majority"]}).strongest is None
    assert "the majority class -" in describe_baselines(scored(baselines=Baselines(of=of)))[0]


@pytest.mark.parametrize("scores", [MONTHS, [JUNE], [JUNE, JULY]])
def test_reports_show_a_dash_and_why(scores, tmp_path) -> None:
    evaluation = scored(scores, untested_classes=["LOC"])
    experience = made_cycle().experience.model_copy(update={"labels": {"PER": 1}, "untrained": ["PER"]})
    cycle = made_cycle(evaluation=evaluation, experience=experience)
    page = write_report([cycle], [], tmp_path / "page.html", name="shop").read_text()
    assert (
        "never learned: PER" in page
        and WHY in page
        and [pair.change for pair in score_pairs(evaluation)][-2:].count(None) >= 1
    )
    shown = "0.8" if scores is MONTHS else None
    assert ("80.0 %" in describe_score(cycle)) is bool(shown) and ("f1 -" in describe_score(cycle)) is not bool(shown)
    assert cycle_line(cycle) and cycles_table([cycle])
    assert f"- no score on june: {WHY}" in describe_balance(evaluation)
    assert "no test row for 1 of the known classes, so undecided: LOC" in describe_balance(evaluation)


def test_forgetting_that_nothing_decides_is_a_dash() -> None:
    assert format_forgotten(scored([JUNE, JULY])) == "-" and format_forgotten(None) == "-"
    assert format_forgotten(scored()) == "0.0"


def test_the_matrix_of_a_backtest_may_have_gaps() -> None:
    own = continual.by_index([[0.9, None, 0.1], [0.8, None, 0.1], [0.7, None, None]])
    joint = continual.by_index([[1.0, None, None], [1.0, None, None], [1.0, None, 0.9]])
    assert continual.accuracy(own) == pytest.approx(0.7)
    assert continual.forgetting(own) == pytest.approx({0: 0.2})
    assert continual.backward_transfer(own) == pytest.approx(-0.2)
    assert continual.forward_transfer(own) == pytest.approx(0.1)
    assert continual.intransigence(own, joint) == pytest.approx(0.1)
    nothing = continual.by_index([[None, None], [None, None]])
    assert continual.accuracy(nothing) is continual.intransigence(nothing, nothing) is None
    assert continual.forgetting(nothing) == {}
