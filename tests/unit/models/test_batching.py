import numpy as np

from cl.models.batching import batch_by_length, shuffled_batches


def test_every_row_comes_once_an_epoch() -> None:
    lengths = list(np.random.default_rng(0).integers(3, 60, size=1_003))
    batches = shuffled_batches(lengths, 16, np.random.default_rng(1))
    assert sorted(row for batch in batches for row in batch) == list(range(1_003))
    assert max(map(len, batches)) == 16


def test_rows_of_like_length_meet() -> None:
    lengths = list(np.random.default_rng(0).integers(3, 120, size=2_000))
    batches = shuffled_batches(lengths, 16, np.random.default_rng(1))
    padded = sum(max(lengths[row] for row in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)


def test_order_is_decided_by_the_generator() -> None:
    lengths = [5] * 100
    first, second = (shuffled_batches(lengths, 8, np.random.default_rng(seed)) for seed in (3, 3))
    assert first == second
    assert first != shuffled_batches(lengths, 8, np.random.default_rng(4))


def test_inference_goes_from_short_to_long() -> None:
    assert batch_by_length([9, 1, 5], 2) == [[1, 2], [0]]
