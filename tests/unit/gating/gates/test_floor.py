from __future__ import annotations

import pandas as pd
import pytest

from cl.errors import ConfigError
from cl.gating.gates.floor import Floor

NO_ROWS = pd.DataFrame()


def judged(gate: Floor, evaluation):
    return gate.judge(evaluation, NO_ROWS, seed=0)


@pytest.mark.parametrize(
    ("over", "passed", "measured"), [("each", False, 0.6), ("newest", True, 0.9), ("mean", True, 0.75)]
)
def test_the_worst_the_newest_or_the_mean_decides(evaluation, over, passed, measured) -> None:
    verdict = judged(Floor(min=0.7, over=over), evaluation({"a": 0.75, "b": 0.6, "c": 0.9}))
    assert verdict.passed is passed
    assert verdict.measured == pytest.approx(measured)


def test_the_reason_names_the_experience_and_both_numbers(evaluation) -> None:
    verdict = judged(Floor(min=0.7), evaluation({"a": 0.75, "b": 0.6}))
    assert verdict.why == "b scores 0.600, at least 0.700 is required"


def test_a_score_at_the_bound_passes_whatever_rounding_does(evaluation) -> None:
    assert judged(Floor(min=0.3), evaluation({"a": 0.1 + 0.2})).passed
    assert judged(Floor(min=0.1 + 0.2), evaluation({"a": 0.3})).passed


def test_another_metric_counts_where_it_is_there(evaluation) -> None:
    scored = evaluation({"a": 0.9, "b": 0.9}, metrics={"a": {"f1/per": 0.4}, "b": {"f1/loc": 0.1}})
    verdict = judged(Floor(metric="f1/per", min=0.5), scored)
    assert not verdict.passed and verdict.measured == 0.4 and "in f1/per" in verdict.why


def test_a_metric_that_nobody_has_is_refused_with_those_there_are(evaluation) -> None:
    scored = evaluation({"a": 0.9}, metrics={"a": {"macro_f1": 0.4}})
    with pytest.raises(ConfigError, match="no metric 'f2'; there are: score, macro_f1"):
        judged(Floor(metric="f2", min=0.5), scored)


def test_a_score_that_is_no_number_is_the_worst(evaluation) -> None:
    verdict = judged(Floor(min=0.1), evaluation({"a": float("nan"), "b": 0.5}))
    assert not verdict.passed and verdict.why.startswith("a scores nan")


def test_nothing_to_score_is_undecided(evaluation) -> None:
    verdict = judged(Floor(min=0.1), evaluation({}))
    assert verdict.word == "undecided" and verdict.measured is None and "does not decide" in verdict.why


def test_the_newest_experience_without_test_rows_is_undecided_on_newest(evaluation) -> None:
    scored = evaluation({"a": 0.9}, matrix={"a": {}, "b": {}})
    assert judged(Floor(min=0.1, over="newest"), scored).word == "undecided"


@pytest.mark.parametrize(
    ("over", "word", "measured"), [("each", "pass", 0.75), ("mean", "pass", 0.8), ("newest", "undecided", None)]
)
def test_an_undecided_experience_is_left_out_and_named(evaluation, over, word, measured) -> None:
    verdict = judged(Floor(min=0.7, over=over), evaluation({"a": 0.75, "b": 0.85, "c": None}))
    assert verdict.word == word and verdict.measured == pytest.approx(measured)
    assert "c" in verdict.why and "no entity" in verdict.why


@pytest.mark.parametrize("metric", ["recall", "precision", "macro_f1", "f1/PER"])
def test_a_metric_of_the_task_that_no_row_decides_is_no_mistake_in_the_configuration(evaluation, metric) -> None:
    scored = evaluation({"a": 0.0}, metrics={"a": {"f1": 0.0}}).model_copy(update={"metric": "f1"})
    assert judged(Floor(metric=metric, min=0.5), scored).word == "undecided"
