from __future__ import annotations

import pytest

from cl.backtesting import measures

R = [
    [0.9, 0.1, 0.0],
    [0.7, 0.8, 0.2],
    [0.8, 0.5, 0.6],
]


def test_each_measure_against_a_hand_computed_case() -> None:
    assert measures.accuracy(R) == pytest.approx((0.8 + 0.5 + 0.6) / 3)
    assert measures.backward_transfer(R) == pytest.approx(((0.8 - 0.9) + (0.5 - 0.8)) / 2)
    assert measures.forward_transfer(R) == pytest.approx((0.1 + 0.2) / 2)
    assert measures.forgetting(R) == pytest.approx([0.9 - 0.8, 0.8 - 0.5])
    joint = [[0.95, 0, 0], [0.9, 0.9, 0], [0.9, 0.9, 0.7]]
    assert measures.intransigence(R, joint) == pytest.approx((0.05 + 0.1 + 0.1) / 3)


def test_what_was_known_before_it_was_learnt_does_not_count_as_forgotten() -> None:
    assert measures.forgetting([[0.5, 0.9], [0.5, 0.4]]) == pytest.approx([0.0])


def test_one_experience_has_nothing_to_forget_or_transfer() -> None:
    assert measures.forgetting([[0.9]]) == []
    assert measures.backward_transfer([[0.9]]) is None and measures.forward_transfer([[0.9]]) is None


def test_spread_is_the_sample_standard_deviation() -> None:
    assert measures.spread([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))
    assert measures.spread([2.0]) == (2.0, 0.0)
