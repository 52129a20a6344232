from __future__ import annotations

import statistics

import pytest

from cl.backtesting.results import Result, summarise
from cl.backtesting.run import Outcome
from tests.support.outcomes import GOOD, POOR, ended


def summary(*outcomes: Outcome, policies: bool = False) -> dict[str, Result]:
    return {one.name: one for one in summarise(list(outcomes), names_with_policy=policies)}


def test_intransigence_is_against_joint_at_every_step_whatever_its_label_and_place() -> None:
    found = summary(
        ended(POOR, "joint", "naive"),
        ended(POOR, "both", ["joint", "ewc"]),
        ended(POOR, "j", {"name": "joint"}, policy="first"),
        ended(GOOD, "j", {"name": "joint"}, policy="always"),
        ended(POOR, "lists", [{"name": "joint", "restart": True}]),
        policies=True,
    )
    assert found["j/always"].intransigence == 0.0
    for name in ("joint/always", "both/always", "j/first", "lists/always"):
        assert found[name].intransigence == pytest.approx(((0.9 - 0.7) + (0.9 - 0.6)) / 2)


def test_what_only_calls_itself_joint_measures_nobody() -> None:
    assert summary(ended(POOR), ended(GOOD, "joint", "naive"))["own"].intransigence is None


def test_intransigence_compares_runs_of_the_same_seed() -> None:
    found = summary(
        ended(POOR, seed=1), ended(GOOD, seed=2), ended(GOOD, "joint", "joint", seed=1),
        ended(POOR, "joint", "joint", seed=2, failure="it broke"),
    )  # fmt: skip
    assert found["own"].intransigence == pytest.approx(0.25) and found["own"].intransigence_std == 0.0


def test_every_number_has_its_spread_over_seeds() -> None:
    one, two = (summary(ended(m, seed=at, classes=c))["own"] for at, (m, c) in enumerate(
        ((GOOD, {"x": 0.5, "y": 0.9}), (POOR, {"x": 0.3, "y": 0.2}))))  # fmt: skip
    both = summary(
        ended(GOOD, seed=0, classes={"x": 0.5, "y": 0.9}), ended(POOR, seed=1, classes={"x": 0.3, "y": 0.2})
    )["own"]
    for name in ("acc", "forgetting", "bwt", "fwt", "seconds"):
        each = [getattr(one, name), getattr(two, name)]
        assert getattr(both, name) == pytest.approx(statistics.fmean(each)), name
        assert getattr(both, f"{name}_std") == pytest.approx(statistics.stdev(each), abs=0.01), name
    assert both.classes == pytest.approx({"x": 0.4, "y": 0.55})
    assert (both.worst_class, both.worst_class_score) == ("x", pytest.approx(0.4))
    assert both.worst_class_std == pytest.approx(statistics.stdev([0.5, 0.3]))


def test_a_seed_that_fails_leaves_the_others_and_is_named() -> None:
    found = summary(ended(GOOD, seed=1), ended(POOR[:1], seed=2, failure="it broke"))["own"]
    assert found.seeds == [1] and found.failures == {2: "it broke"}
    assert found.acc == pytest.approx(0.85) and found.matrix == GOOD


def test_what_failed_has_no_numbers_but_the_scores_until_then() -> None:
    found = summary(ended(POOR[:1], failure="it broke"))["own"].model_dump(mode="json")
    assert found["matrix"] == POOR[:1] and found["seeds"] == [] and found["failures"] == {"0": "it broke"}
    told = {"name", "experiences", "matrix", "seeds", "failures", "worst_class", "classes", "accuracy_over_time"}
    assert all(value in (None, {}) for key, value in found.items() if key not in told)


def test_tests_without_any_class_have_no_worst_one() -> None:
    assert summary(ended(GOOD))["own"].worst_class_score is None
