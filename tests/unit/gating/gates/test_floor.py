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


def test_nothing_to_score_does_not_pass(evaluation) -> None:
    verdict = judged(Floor(min=0.1), evaluation({}))
    assert not verdict.passed and "has no test rows" in verdict.why


def test_the_newest_experience_without_test_rows_does_not_pass_on_newest(evaluation) -> None:
    scored = evaluation({"a": 0.9}, matrix={"a": {}, "b": {}})
    assert not judged(Floor(min=0.1, over="newest"), scored).passed
