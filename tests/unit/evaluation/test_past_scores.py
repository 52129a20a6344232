"""The accuracy matrix in running form says the same as the whole matrix."""

from __future__ import annotations

import random

import pytest

from cl.evaluation import continual
from cl.records import Evaluation
from cl.records.history import History
from cl.records.past_scores import PastScores, from_matrix


def drawn_matrix(rng: random.Random) -> dict[str, dict[str, float]]:
    """Draw a matrix whose rows miss scores here and there, and where some experiences were learned with a newer one."""
    matrix: dict[str, dict[str, float]] = {}
    known: list[str] = []
    for number in range(rng.randint(1, 7)):
        known += [f"{number}-{part}" for part in range(rng.randint(1, 2))]
        matrix[known[-1]] = {name: rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]) for name in known if rng.random() < 0.8}
    return matrix


@pytest.mark.parametrize("seed", range(100))
def test_forgetting_and_transfer_are_those_of_the_whole_matrix(seed) -> None:
    matrix = drawn_matrix(random.Random(seed))
    *earlier, newest = matrix
    row, champion = matrix[newest], dict.fromkeys(matrix[newest], 0.6)
    past = from_matrix({name: matrix[name] for name in earlier})
    assert past.backward_transfer(newest, row) == pytest.approx(continual.backward_transfer(matrix))
    assert past.forgetting(newest, row, {}) == pytest.approx(continual.forgetting(matrix))
    assert past.forgetting(newest, row, champion) == pytest.approx(continual.forgetting(matrix, champion=champion))
    assert past.describe(newest, row)["updates"] == len(matrix)


def test_falls_in_a_row_are_counted_on_each_experience_and_on_the_mean_of_what_two_rows_share() -> None:
    rows = [("a", {"a": 0.9}), ("b", {"a": 0.8, "b": 0.9}), ("c", {"a": 0.7, "b": 0.95, "c": 0.1})]
    past = from_matrix(dict(rows))
    assert {name: score.falls for name, score in past.of.items()} == {"a": 2, "b": 0, "c": 0}
    fields = past.describe("d", {"a": 0.6, "b": 0.95, "d": 0.5})
    assert fields["falls"] == {"a": 3} and fields["falls_of_mean"] == 3


def test_what_an_experience_scored_before_it_was_learned_does_not_count() -> None:
    past = PastScores().after("a", {"a": 0.9, "b": 0.8}).after("b", {"a": 0.9, "b": 0.4})
    assert past.forgetting("c", {"b": 0.4}, {}) == {"b": 0.0}


def test_a_version_that_learned_nothing_counts_as_the_same_update() -> None:
    row = {"a": 0.8, "b": 0.9}
    past = PastScores().after("a", {"a": 0.9}).after("b", row)
    assert past.after("b", row) == past


def test_an_experience_that_was_not_tested_keeps_its_scores_and_its_turn() -> None:
    past = PastScores().after("a", {"a": 0.9}).after("b", {"b": 0.8})
    assert past.of["a"].tested == 1 and past.of["b"].tested == 2
    assert past.forgetting("c", {"a": 0.5, "c": 1.0}, {}) == {"a": pytest.approx(0.4)}


def test_the_whole_matrix_that_older_releases_stored_is_read() -> None:
    matrix = {"a": {"a": 0.9}, "b": {"a": 0.8, "b": 0.7}}
    assert History.model_validate({"learnt": ["a", "b"], "matrix": matrix}).scores == from_matrix(matrix)
    stored = {"metric": "accuracy", "challenger": [], "accuracy": None, "calibration_error": None, "latency_ms": None}
    old = Evaluation.model_validate({**stored, "size_mb": 1.0, "predictions": "", "matrix": matrix})
    assert (old.newest, old.updates, old.falls) == ("b", 2, {"a": 1})
