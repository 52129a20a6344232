from __future__ import annotations

import pytest

from cl.evaluation import continual

R = continual.by_index(
    [
        [0.9, 0.1, 0.0],
        [0.7, 0.8, 0.2],
        [0.8, 0.5, 0.6],
    ]
)


def test_each_measure_against_a_hand_computed_case() -> None:
    assert continual.accuracy(R) == pytest.approx((0.8 + 0.5 + 0.6) / 3)
    assert continual.backward_transfer(R) == pytest.approx(((0.8 - 0.9) + (0.5 - 0.8)) / 2)
    assert continual.forward_transfer(R) == pytest.approx((0.1 + 0.2) / 2)
    assert continual.forgetting(R) == pytest.approx({0: 0.9 - 0.8, 1: 0.8 - 0.5})
    joint = continual.by_index([[0.95, 0, 0], [0.9, 0.9, 0], [0.9, 0.9, 0.7]])
    assert continual.intransigence(R, joint) == pytest.approx((0.05 + 0.1 + 0.1) / 3)


def test_what_was_known_before_it_was_learnt_does_not_count_as_forgotten() -> None:
    assert continual.forgetting(continual.by_index([[0.5, 0.9], [0.5, 0.4]])) == pytest.approx({0: 0.0})


def test_one_experience_has_nothing_to_forget_or_transfer() -> None:
    first = continual.by_index([[0.9]])
    assert continual.forgetting(first) == {}
    assert continual.backward_transfer(first) is None and continual.forward_transfer(first) is None


def test_spread_is_the_sample_standard_deviation() -> None:
    assert continual.spread([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))
    assert continual.spread([2.0]) == (2.0, 0.0)


def test_a_full_and_a_partial_matrix_say_the_same_of_the_past() -> None:
    """What was scored before an experience was learned counts for neither, as in a project's own matrix."""
    partial = {i: {j: score for j, score in row.items() if j <= i} for i, row in R.items()}
    assert continual.forgetting(partial) == continual.forgetting(R)
    assert continual.backward_transfer(partial) == continual.backward_transfer(R)


def test_what_was_learned_along_with_a_newer_experience_counts_from_there() -> None:
    matrix = {
        "m1": {"m1": 0.9},
        "m3": {"m1": 0.8, "m2": 0.7, "m3": 0.9},
        "m4": {"m1": 0.8, "m2": 0.6, "m3": 0.9, "m4": 1.0},
    }
    assert continual.forgetting(matrix) == pytest.approx({"m1": 0.1, "m2": 0.1, "m3": 0.0})
    assert continual.backward_transfer(matrix) == pytest.approx((-0.1 - 0.1 + 0.0) / 3)
