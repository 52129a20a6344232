from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cl.errors import ConfigError
from cl.gating.gates.rule import Rule


def table(**columns: object) -> pd.DataFrame:
    """Twenty short rows of `loan` that the challenger has right, twenty long ones of `fee` of which it loses eight."""
    return pd.DataFrame({
        "experience": ["a"] * 20 + ["b"] * 20,
        "target": ["loan"] * 20 + ["fee"] * 20,
        "chars": [10] * 20 + [300] * 20,
        "challenger_score": [1.0] * 20 + [0.0] * 8 + [1.0] * 12,
        "champion_score": [1.0] * 40,
        **columns,
    })  # fmt: skip


@pytest.fixture
def judged(evaluation):
    def judge(rows: pd.DataFrame | None = None, *, scored: object = None, **fields: object):
        return Rule(**fields).judge(
            scored or evaluation({"a": 1.0, "b": 0.6}), table() if rows is None else rows, seed=0
        )

    return judge


@pytest.mark.parametrize(
    ("on", "title", "group"),
    [
        ("each_experience", "rule score on each_experience", "b"),
        ("each_class", "rule score on each_class", "fee"),
        ({"column": "target"}, "rule score on each target", "fee"),
        ({"length": [50, 200]}, "rule score on length 50, 200", "200 characters and more"),
        ({"query": "chars > 200"}, "rule score on chars > 200", "chars > 200"),
    ],
)
def test_the_worst_group_counts_wherever_it_is_looked_for(judged, on, title, group) -> None:
    verdict = judged(on=on, min=0.7)
    assert not verdict.passed and verdict.gate == title and verdict.measured == pytest.approx(0.6)
    assert verdict.parts[0].group == group and verdict.parts[0].rows == 20
    assert verdict.why == f"score on {group} is 0.600, at least 0.700 is required"
    assert judged(on=on, min=0.6).passed


def test_all_rows_hide_what_a_group_shows(judged) -> None:
    verdict = judged(min=0.7)
    assert verdict.passed and verdict.gate == "rule score" and verdict.measured == pytest.approx(0.8)


@pytest.mark.parametrize("test", ["bootstrap", "mcnemar"])
def test_a_loss_beside_the_champion_is_refused_on_the_group_that_shows_it(judged, test) -> None:
    verdict = judged(on="each_class", relative={"margin": 0.02, "test": test})
    assert not verdict.passed and verdict.measured == pytest.approx(-0.4) and verdict.bound == -0.02
    assert [(one.group, one.verdict) for one in verdict.parts] == [("fee", "fail"), ("loan", "pass")]
    assert verdict.parts[0].p_value < 0.025 and verdict.parts[1].p_value == 1
    assert "score on fee is 0.400 worse than the champion's, 1.000 over 20 rows" in verdict.why
    assert judged(on="each_class", relative={"margin": 0.5, "test": test}).passed


def test_mcnemar_is_exact(judged) -> None:
    rows = table(challenger_score=[0.0] * 8 + [1.0] * 32, champion_score=[1.0] * 8 + [0.0] * 1 + [1.0] * 31)
    (part,) = judged(rows, relative={"test": "mcnemar"}).parts
    assert part.p_value == pytest.approx(10 / 2**9)


def test_a_few_rows_are_undecided_with_the_number_that_would_decide(judged) -> None:
    rows = table(challenger_score=[0.0] * 3 + [1.0] * 37)
    verdict = judged(rows, relative={"margin": 0.02})
    assert verdict.passed and verdict.undecided and "too few rows to call it a loss" in verdict.why
    assert verdict.rows_needed == 34, "the normal approximation would do with fewer than the exact test"


def test_a_calibrated_score_per_row_is_compared_the_other_way_round(judged) -> None:
    worse = table(challenger_brier=[0.5] * 40, champion_brier=[0.1] * 40)
    better = table(challenger_brier=[0.1] * 40, champion_brier=[0.5] * 40)
    assert not judged(worse, of="brier", on="each_class", relative={"margin": 0.1}).passed
    assert judged(better, of="brier", on="each_class", relative={"margin": 0.1}).passed
    assert not judged(worse, of="brier", on={"query": "chars > 200"}, max=0.4).passed


def test_forgetting_is_what_past_rows_lost_beside_the_best_version(judged) -> None:
    rows = table(best_score=[1.0] * 40, challenger_score=[0.0] * 10 + [1.0] * 10 + [0.0] * 20)
    verdict = judged(rows, of="forgetting", on={"length": [50]}, max=0.3)
    assert not verdict.passed and verdict.measured == pytest.approx(0.5), "the newest experience is no past"
    assert [one.group for one in verdict.parts] == ["0 to 49 characters"]
    tested = judged(rows, of="forgetting", on="each_experience", relative={"margin": 0.05})
    assert not tested.passed and "score on a is 0.500 worse than the best version's over 20 rows" in tested.why


def test_a_first_version_has_nothing_to_forget_and_nobody_beside_it(judged) -> None:
    rows = table().drop(columns="champion_score")
    assert judged(rows, of="forgetting", max=0.1).passed
    assert judged(rows, relative={"margin": 0.0}).passed
    assert not judged(rows, on="each_class", min=0.7, relative={"margin": 0.0}).passed


@pytest.mark.parametrize(
    ("of", "now", "before", "passed"),
    [
        ("latency_p95_ms", 12.0, 10.0, False),
        ("latency_p95_ms", 9.0, 10.0, True),
        ("rows_per_second", 12.0, 10.0, True),
        ("rows_per_second", 9.0, 10.0, False),
        ("robustness_typos", 0.5, 0.8, True),
    ],
)
def test_a_number_without_rows_is_simply_compared(judged, evaluation, of, now, before, passed) -> None:
    scored = evaluation({"a": 0.9}, numbers={of: now}, champion_numbers={of: before})
    verdict = judged(scored=scored, of=of, relative={"margin": 0.5})
    assert verdict.passed is passed and verdict.parts[0].p_value is None


def test_both_bounds_hold(judged, evaluation) -> None:
    scored = evaluation({"a": 0.9}, numbers={"ece": 0.2})
    assert judged(scored=scored, of="ece", min=0.1, max=0.3).passed
    low, high = (judged(scored=scored, of="ece", min=least, max=most) for least, most in ((0.25, 0.3), (0.0, 0.1)))
    assert low.why == "ece is 0.200, at least 0.250 is required"
    assert high.why == "ece is 0.200, at most 0.100 is accepted"
    assert not low.passed and not high.passed


def test_a_number_that_was_not_measured_is_undecided_and_says_so(judged) -> None:
    verdict = judged(of="oos_auroc", min=0.8)
    assert verdict.undecided and verdict.passed and verdict.why == "not measured: oos_auroc was not measured"


def test_a_column_that_was_not_stored_is_told_in_one_line(judged) -> None:
    verdict = judged(on={"column": "channel"}, min=0.5)
    assert verdict.undecided and verdict.why == "not measured: the rows were stored without a column 'channel'"


def test_a_number_that_nobody_has_is_refused_with_the_nearest_names(judged) -> None:
    with pytest.raises(ConfigError, match="no metric 'latency_p90_ms'; did you mean latency_p95_ms or latency_p50_ms"):
        judged(of="latency_p90_ms", max=50)


def test_a_metric_of_the_task_is_known_on_each_experience_and_in_the_mean(judged, evaluation) -> None:
    scored = evaluation({"a": 0.9, "b": 0.9}, metrics={"a": {"macro_f1": 0.8}, "b": {"macro_f1": 0.4}})
    each = judged(scored=scored, of="macro_f1", on="each_experience", min=0.5)
    assert not each.passed and each.parts[0].group == "b"
    assert judged(scored=scored, of="macro_f1", min=0.5).measured == pytest.approx(0.6)
    assert judged(scored=scored, of="macro_f1", on="each_class", min=0.5).undecided


def test_recall_is_known_on_each_class(judged, evaluation) -> None:
    scored = evaluation({"a": 0.9}, per_class={"loan": {"recall": 0.9}, "fee": {"recall": 0.2}})
    verdict = judged(scored=scored, of="recall", on="each_class", min=0.5)
    assert not verdict.passed and verdict.parts[0].group == "fee"


def test_a_score_that_is_no_number_does_not_pass(judged, evaluation) -> None:
    assert not judged(scored=evaluation({"a": 0.9}, numbers={"ece": float("nan")}), of="ece", max=0.3).passed


def test_a_slice_without_rows_is_undecided(judged) -> None:
    verdict = judged(on={"query": "chars > 9000"}, min=0.5)
    assert verdict.undecided and "0 test rows on chars > 9000" in verdict.why


def test_a_group_of_few_rows_may_be_left_undecided(judged) -> None:
    rows = pd.concat([table(), table().tail(1).assign(target="rare", challenger_score=0.0)], ignore_index=True)
    assert not judged(rows, on="each_class", min=0.5).passed
    verdict = judged(rows, on="each_class", min=0.5, min_rows=10)
    assert verdict.passed and verdict.undecided and verdict.rows_needed == 10 and "1 test rows on rare" in verdict.why


MATRIX = {"a": {"a": 0.9}, "b": {"a": 0.85, "b": 0.9}, "c": {"a": 0.8, "b": 0.95, "c": 0.3}, "d": {"a": 0.7, "b": 0.9}}


@pytest.mark.parametrize(
    ("on", "over", "passed", "falls"),
    [("each_experience", 3, False, 3), ("each_experience", 4, True, 3), ("all", 2, True, 1), ("all", 1, False, 1)],
)
def test_a_trend_counts_the_falls_that_the_accuracy_matrix_ends_with(
    judged, evaluation, on, over, passed, falls
) -> None:
    # on all: a to b fell, b to c did not (a lost as much as b gained; c is new), c to d fell
    verdict = judged(scored=evaluation({"a": 0.7}, matrix=MATRIX), on=on, trend={"over": over})
    assert verdict.passed is passed and verdict.measured == falls
    assert f"fell {falls} times in a row, {over} are too many" in verdict.why


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "has no condition"),
        ({"min": 0.9, "max": 0.1}, "min 0.9 is more than max 0.1"),
        ({"on": "each_month", "min": 0.5}, "on"),
        ({"on": {"query": "chars >"}, "min": 0.5}, "cannot be read"),
        ({"of": "latency_p95_ms", "on": {"length": [50]}, "max": 5}, "has no per-row values"),
        ({"of": "brier", "trend": {"over": 2}}, "trend is available for score"),
        ({"of": "brier", "relative": {"test": "mcnemar"}}, "mcnemar compares right and wrong"),
        ({"relative": {"margin": 0.1, "certainty": 0.9}}, "certainty"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_when_it_is_read(fields, told) -> None:
    with pytest.raises(ValidationError, match=told):
        Rule(**fields)


def test_the_parts_are_pure_functions_of_the_rows(judged) -> None:
    rows = table(challenger_score=np.random.default_rng(0).random(40))
    assert judged(rows, on="each_class", relative={}) == judged(rows, on="each_class", relative={})
