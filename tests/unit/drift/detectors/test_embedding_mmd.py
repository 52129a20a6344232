from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import ks_2samp, kstest

from cl.drift.detectors import embedding_mmd
from cl.drift.detectors.embedding_mmd import EmbeddingMmd, _discrepancies, _median_distance
from cl.models.snapshot import Snapshot


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


def test_the_means_of_the_features_are_as_far_apart_as_the_kernel_says() -> None:
    x, y = embedded(60, 0, width=8).embeddings, embedded(40, 1, width=8, shift=0.8).embeddings
    rows, rng = np.concatenate([x, y]), np.random.default_rng(0)
    apart = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    kernel = np.exp(-apart / _median_distance(rows))
    expected = kernel[:60, :60].mean() + kernel[60:, 60:].mean() - 2 * kernel[:60, 60:].mean()
    frequencies = (rng.normal(size=(8, 20_000)) / np.sqrt(_median_distance(rows) / 2)).astype(np.float32)
    assert _discrepancies(x, y, frequencies, 3, rng)[0] == pytest.approx(expected, rel=0.02)


def test_rows_in_many_blocks_are_permuted_as_those_in_one(monkeypatch) -> None:
    x, y = embedded(300, 0, width=8).embeddings, embedded(100, 1, width=8).embeddings
    frequencies = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    whole = _discrepancies(x, y, frequencies, 4_000, np.random.default_rng(1))
    monkeypatch.setattr(embedding_mmd, "AT_ONCE", 64)
    parts = _discrepancies(x, y, frequencies, 4_000, np.random.default_rng(2))
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    assert ks_2samp(whole[1], parts[1]).pvalue > 0.01


def test_what_no_permutation_reaches_has_a_p_value_beyond_their_number() -> None:
    finding = EmbeddingMmd(permutations=99).detect(
        embedded(60, 0, width=8), embedded(60, 1, shift=2.0, width=8), alpha=1e-5, seed=0
    )
    assert finding.drifted and finding.p_value is not None and finding.p_value < 1e-6


def test_p_values_of_like_sides_are_uniform() -> None:
    sides = ((embedded(80, 2 * at, width=8), embedded(50, 2 * at + 1, width=8)) for at in range(200))
    found = [EmbeddingMmd(permutations=99, features=32).detect(*one, alpha=0.05, seed=0).p_value for one in sides]
    assert kstest(found, "uniform").pvalue > 0.001


def test_fewer_than_99_permutations_are_refused() -> None:
    with pytest.raises(ValidationError):
        EmbeddingMmd(permutations=50)


def test_large_sides_are_sampled_and_compared_in_seconds() -> None:
    reference, new = embedded(5_000, 0, width=384), embedded(5_000, 1, width=384)
    started = time.perf_counter()
    finding = EmbeddingMmd().detect(reference, new, alpha=0.01, seed=0)
    assert time.perf_counter() - started < 5  # a third of a second on an idle machine
    assert "5000 new from 5000 reference texts" in finding.summary
