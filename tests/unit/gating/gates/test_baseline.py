"""The gate against the simplest things that could work."""

from __future__ import annotations

import pytest

from cl.gating.gates.baseline import Baseline
from cl.testing import sample_evaluation


@pytest.mark.parametrize(
    ("right", "passes", "says"),
    [
        (60, False, "the challenger is 30.0 points below the baseline over 200 rows"),
        (89, True, "1.0 points below the baseline"),
        (100, True, "10.0 points above"),
    ],
)
def test_a_challenger_below_the_baseline_is_refused(right, passes, says) -> None:
    answers = ([1] * right + [0] * (100 - right)) * 2
    evaluation, rows = sample_evaluation(answers, answers)
    rows["baseline_score"] = ([1.0] * 90 + [0.0] * 10) * 2
    verdict = Baseline(margin=0.02).judge(evaluation, rows, seed=0)
    assert verdict.passed == passes and says in verdict.why and verdict.gate == "baseline"


def test_without_a_baseline_it_passes_and_says_so() -> None:
    evaluation, rows = sample_evaluation([1, 0], [1, 0])
    assert Baseline().judge(evaluation, rows, seed=0).why == "no baseline was measured"
