from __future__ import annotations

import pytest

from cl.gating.gates.churn import Churn


def judged(evaluation, answers, lost: int, held: int, bound: float):
    rows = answers(a=([0.0] * lost + [1.0] * (held - lost) + [1.0] * 20, [1.0] * held + [0.0] * 20))
    return Churn(max=bound).judge(evaluation({"a": 0.9}), rows, seed=0)


def test_lost_answers_count_whatever_was_gained_elsewhere(evaluation, answers) -> None:
    verdict = judged(evaluation, answers, lost=30, held=200, bound=0.05)
    assert not verdict.passed and not verdict.undecided and verdict.measured == pytest.approx(0.15)
    assert verdict.why == "30 of the champion's 200 right answers are wrong now, 15.0%; at most 5.0% may be"


def test_within_the_bound_it_passes(evaluation, answers) -> None:
    verdict = judged(evaluation, answers, lost=10, held=200, bound=0.05)
    assert verdict.passed and not verdict.undecided


def test_a_few_rows_beyond_the_bound_decide_nothing_and_it_says_how_many_would(evaluation, answers) -> None:
    verdict = judged(evaluation, answers, lost=3, held=40, bound=0.05)
    assert verdict.passed and verdict.undecided and 250 < verdict.rows_needed < 350
    assert "too few rows to say so (95% confidence: at least 2.1%)" in verdict.why
    assert not judged(evaluation, answers, lost=30, held=320, bound=0.05).undecided


def test_shares_of_rows_of_tokens_count_as_shares(evaluation, answers) -> None:
    rows = answers(a=([0.5] * 100, [1.0] * 100))
    assert Churn(max=0.2).judge(evaluation({"a": 0.5}), rows, seed=0).measured == pytest.approx(0.5)
