from __future__ import annotations

import itertools

import numpy as np
import pytest

from cl.serving.batching.partition import BATCH_COST, next_batch, partition_by_length


def cost(cut: list[list[int]], lengths: list[int]) -> int:
    return sum(BATCH_COST + len(part) * max(lengths[row] for row in part) for part in cut)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_cut_of_the_sorted_rows_is_cheaper(seed) -> None:
    lengths = np.random.default_rng(seed).integers(2, 128, size=9).tolist()
    order = np.argsort(lengths, kind="stable").tolist()
    every = [
        [order[start:end] for start, end in itertools.pairwise([0, *borders, len(order)])]
        for count in range(len(order))
        for borders in itertools.combinations(range(1, len(order)), count)
    ]
    found = partition_by_length(lengths)
    assert sorted(itertools.chain(*found)) == list(range(9))
    assert cost(found, lengths) == min(cost(cut, lengths) for cut in every)


def test_rows_of_like_length_go_together_and_a_long_one_alone() -> None:
    assert sorted(map(tuple, partition_by_length([8, 120, 9, 8, 10]))) == [(0, 2, 3, 4), (1,)]
    assert next_batch([8, 120, 9, 8, 10], budget=10_000).rows == [0, 2, 3, 4]
    assert next_batch([120, 8, 9, 8, 10], budget=10_000).rows == [0]


def test_a_batch_is_cut_to_its_budget_and_never_without_the_row_that_waited_longest() -> None:
    assert next_batch([10] * 20, budget=55).rows == [0, 1, 2, 3, 4]
    assert next_batch([100, 100], budget=10).rows == [0]


def test_without_padding_every_row_that_fits_is_in_the_batch() -> None:
    batch = next_batch([8, 120, 9, 200, 10], budget=150, padded=False)
    assert (batch.rows, batch.tokens) == ([0, 1, 2, 4], 64 + 147)
    assert next_batch([100, 5], budget=10, padded=False).rows == [0]


def test_the_cost_of_a_batch_counts_its_padding() -> None:
    assert next_batch([8, 10, 9], budget=10_000).tokens == 64 + 30
