from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cl.detectors import Snapshot
from cl.detectors.embedding_mmd import EmbeddingMmd, _discrepancies


def embedded(rows: int, seed: int, *, shift: float = 0.0, width: int = 64) -> Snapshot:
    embeddings = np.random.default_rng(seed).normal(size=(rows, width)) + shift
    return Snapshot(pd.DataFrame({"label": ["a"] * rows}), embeddings.astype(np.float32), ("a",))


def test_shifted_embeddings_are_an_alarm_and_like_ones_are_not() -> None:
    detector = EmbeddingMmd()
    assert detector.detect(embedded(300, 0), embedded(200, 1, shift=0.15), alpha=0.01, seed=0).drifted
    assert not detector.detect(embedded(300, 0), embedded(200, 1), alpha=0.01, seed=0).drifted


def test_a_tenth_of_the_rows_in_a_new_place_is_an_alarm() -> None:
    mixed = embedded(250, 1)
    mixed.embeddings[:25] += 1.0
    assert EmbeddingMmd().detect(embedded(500, 0), mixed, alpha=0.01, seed=0).drifted


def test_the_matrix_products_give_the_estimate_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.uniform(size=(9, 9))
    kernel = kernel + kernel.T
    np.fill_diagonal(kernel, 0)
    x, y = [0, 1, 2, 3], [4, 5, 6, 7, 8]
    within_x = kernel[np.ix_(x, x)].sum() / (4 * 3)
    within_y = kernel[np.ix_(y, y)].sum() / (5 * 4)
    expected = within_x + within_y - 2 * kernel[np.ix_(x, y)].mean()
    sides = np.array([[0] * 4 + [1] * 5])
    assert _discrepancies(kernel, sides)[0] == pytest.approx(expected)
    assert _discrepancies(kernel - 0.7 * (1 - np.eye(9)), sides)[0] == pytest.approx(expected)


def test_a_strict_alpha_gets_as_many_permutations_as_an_alarm_takes() -> None:
    finding = EmbeddingMmd(permutations=99).detect(
        embedded(60, 0, width=8), embedded(60, 1, shift=2.0, width=8), alpha=0.001, seed=0
    )
    assert finding.p_value is not None and finding.p_value < 0.001 / 4


def test_fewer_than_99_permutations_are_refused() -> None:
    with pytest.raises(ValidationError):
        EmbeddingMmd(permutations=50)


def test_large_sides_are_sampled_and_compared_in_seconds() -> None:
    reference, new = embedded(5_000, 0, width=384), embedded(5_000, 1, width=384)
    started = time.perf_counter()
    finding = EmbeddingMmd().detect(reference, new, alpha=0.01, seed=0)
    assert time.perf_counter() - started < 5  # a third of a second on an idle machine
    assert "1000 rows beside 1000" in finding.summary
