from __future__ import annotations

import pandas as pd
import pytest

from cl.gating.gates.forgetting import Forgetting


def judged(evaluation, losses: dict[str, float], bound: float = 0.03):
    scored = evaluation(dict.fromkeys(losses, 0.8), forgetting=losses)
    return Forgetting(max=bound).judge(scored, pd.DataFrame(), seed=0)


def test_the_worst_experience_counts_and_not_the_mean(evaluation) -> None:
    verdict = judged(evaluation, {"a": -0.2, "b": 0.05, "c": 0.0})
    assert not verdict.passed and verdict.measured == 0.05
    assert verdict.why == "b lost most, 5.0 points of its best score, at most 3.0 may be lost"


def test_a_loss_at_the_bound_is_accepted(evaluation) -> None:
    assert judged(evaluation, {"a": 0.1 + 0.2}, bound=0.3).passed


def test_where_nothing_was_lost_it_says_so(evaluation) -> None:
    verdict = judged(evaluation, {"a": -0.132, "b": -0.2})
    assert verdict.passed and verdict.why.startswith("no experience lost anything, at most 3.0 may be lost")


def test_a_loss_that_is_no_number_does_not_pass(evaluation) -> None:
    assert not judged(evaluation, {"a": 0.0, "b": float("nan")}).passed


def test_a_first_version_has_nothing_to_forget(evaluation) -> None:
    verdict = judged(evaluation, {})
    assert verdict.passed and verdict.measured is None


@pytest.mark.parametrize("bound", [-0.1, 1.1])
def test_a_bound_is_a_share(bound) -> None:
    with pytest.raises(ValueError, match="max"):
        Forgetting(max=bound)


def rows(now: list[float], best: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"experience": "a", "challenger_score": now, "best_score": best})


def test_a_loss_of_a_few_rows_of_a_small_test_set_may_be_chance(evaluation) -> None:
    few = rows([0.0] * 4 + [1.0] * 36, [1.0] * 3 + [0.0] + [1.0] * 36)
    scored = evaluation({"a": 0.9, "b": 0.8}, forgetting={"a": 0.075})
    verdict = Forgetting(max=0.03).judge(scored, few, seed=0)
    assert verdict.passed and verdict.measured == 0.075
    assert verdict.why.endswith("at most 3.0 may be lost; its 40 test rows are too few to call it a loss")
    assert not Forgetting(max=0.03, confidence=0).judge(scored, few, seed=0).passed


def test_the_same_loss_over_more_rows_is_one(evaluation) -> None:
    many = rows(([0.0] * 4 + [1.0] * 36) * 5, ([1.0] * 3 + [0.0] + [1.0] * 36) * 5)
    scored = evaluation({"a": 0.9, "b": 0.8}, forgetting={"a": 0.075})
    verdict = Forgetting(max=0.03).judge(scored, many, seed=0)
    assert not verdict.passed and verdict.why == "a lost most, 7.5 points of its best score, at most 3.0 may be lost"


def test_a_shown_loss_is_named_although_another_that_may_be_chance_is_larger(evaluation) -> None:
    both = pd.concat([
        rows([0.0] * 2 + [1.0] * 8, [1.0] * 10),
        rows([0.0] * 10 + [1.0] * 90, [1.0] * 100).assign(experience="b"),
    ])  # fmt: skip
    scored = evaluation({"a": 0.8, "b": 0.9, "c": 0.9}, forgetting={"a": 0.2, "b": 0.1})
    verdict = Forgetting(max=0.03).judge(scored, both, seed=0)
    assert not verdict.passed and verdict.why.startswith("b lost most, 10.0 points")
