from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.gating.gates.no_regression import NoRegression
from cl.statistics import bootstrap_means


def judged(gate: NoRegression, evaluation, rows: pd.DataFrame):
    return gate.judge(evaluation({"a": 0.8}), rows, seed=3)


def scores(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong


def test_bootstrap_means_have_the_spread_of_the_binomial() -> None:
    means = bootstrap_means(np.array(scores(30, 70)), resamples=20_000, seed=0)
    assert means.mean() == pytest.approx(0.3, abs=0.002)
    assert means.std() == pytest.approx((0.3 * 0.7 / 100) ** 0.5, rel=0.03)


def test_many_distinct_scores_are_drawn_like_any_others() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.5, 400)
    means = bootstrap_means(values, resamples=4_000, seed=0)
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)
    assert means.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_a_clear_loss_is_refused_and_a_gain_is_not(evaluation, answers) -> None:
    worse = answers(a=(scores(60, 40), scores(90, 10)))
    better = answers(a=(scores(90, 10), scores(60, 40)))
    verdict = judged(NoRegression(), evaluation, worse)
    assert not verdict.passed and verdict.measured == pytest.approx(-0.3)
    assert "30.0 points below the champion over 100 rows" in verdict.why
    assert judged(NoRegression(), evaluation, better).passed


def test_a_loss_within_the_margin_is_accepted_however_sure(evaluation, answers) -> None:
    rows = answers(a=(scores(9_900, 100), scores(10_000, 0)))
    assert judged(NoRegression(margin=0.02), evaluation, rows).passed
    assert not judged(NoRegression(margin=0.005), evaluation, rows).passed


def test_a_few_unlucky_rows_refuse_nothing(evaluation, answers) -> None:
    few = answers(a=(scores(3, 1), scores(4, 0)))
    verdict = judged(NoRegression(), evaluation, few)
    assert verdict.passed and "too few rows to call it a loss" in verdict.why


def test_rows_are_paired(evaluation, answers) -> None:
    # the same losses, alone and hidden among gains elsewhere: only the difference row by row counts
    alone = answers(a=(scores(96, 4), scores(100, 0)))
    mixed = answers(a=(scores(50, 50), [0.0] * 50 + [1.0] * 50))
    assert judged(NoRegression(), evaluation, alone).measured == pytest.approx(-0.04)
    assert judged(NoRegression(), evaluation, mixed).measured == pytest.approx(0.0)


def test_proof_is_asked_for_with_non_inferiority(evaluation, answers) -> None:
    gate = NoRegression(burden="non_inferiority", margin=0.02)
    few, many = (answers(a=(scores(n, 0), scores(n, 0))) for n in (60, 400))
    assert not judged(gate, evaluation, few).passed, "60 equal answers cannot rule out a loss of 2 points"
    assert judged(gate, evaluation, many).passed
    assert "shown with 95% confidence" in judged(gate, evaluation, many).why


def test_the_rule_of_three_bounds_a_loss_that_was_not_seen(evaluation, answers) -> None:
    rows = answers(a=(scores(300, 0), scores(300, 0)))
    verdict = judged(NoRegression(burden="non_inferiority"), evaluation, rows)
    assert verdict.measured == pytest.approx(-3 / 300, abs=0.003)


def test_each_experience_is_judged_by_itself(evaluation, answers) -> None:
    rows = answers(old=(scores(70, 30), scores(100, 0)), new=(scores(200, 0), scores(100, 100)))
    assert judged(NoRegression(), evaluation, rows).passed, "together it is a gain"
    verdict = judged(NoRegression(over="each"), evaluation, rows)
    assert not verdict.passed and verdict.why.startswith("on old the challenger is 30.0 points below")


def test_many_experiences_do_not_add_up_to_a_false_alarm(evaluation) -> None:
    refused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = pd.concat(
            pd.DataFrame({
                "experience": f"e{at}",
                "challenger_score": (rng.random(60) < 0.8).astype(float),
                "champion_score": (rng.random(60) < 0.8).astype(float),
            })
            for at in range(12)
        )  # fmt: skip
        refused += not NoRegression(over="each", resamples=500).judge(evaluation({"a": 0.8}), rows, seed=seed).passed
    assert refused <= 6, "at 5 % a cycle, 2 of 40 are expected"


def test_rows_that_the_champion_never_answered_are_left_out(evaluation, answers) -> None:
    rows = answers(a=(scores(100, 0), scores(100, 0)), b=(scores(0, 50), None))
    verdict = judged(NoRegression(), evaluation, rows)
    assert verdict.passed and "over 100 rows" in verdict.why


def test_a_first_version_has_nobody_to_be_compared_with(evaluation, answers) -> None:
    assert judged(NoRegression(), evaluation, answers(a=(scores(5, 5), None))).passed
    assert judged(NoRegression(), evaluation, pd.DataFrame({"challenger_score": [1.0]})).passed


def test_a_large_test_set_takes_no_time(evaluation, answers) -> None:
    rows = answers(a=(scores(80_000, 20_000), scores(80_000, 20_000)))
    assert judged(NoRegression(), evaluation, rows).passed
