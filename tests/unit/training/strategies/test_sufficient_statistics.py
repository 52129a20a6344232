from __future__ import annotations

import pytest
import torch

from cl.models.closed_form_head import ClosedFormHead
from cl.models.integer_products import multiplies_integers_exactly
from cl.training.strategies import _sufficient_statistics
from cl.training.strategies._sufficient_statistics import SufficientStatistics


def drawn(rows: int, features: int = 12, classes: int = 4, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-127, 128, (rows, features), generator=generator).float()
    return whole, torch.randint(0, classes, (rows,), generator=generator)


def same(one: SufficientStatistics, other: SufficientStatistics) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("counts", "sums", "products"))


def test_sums_against_a_hand_computed_case() -> None:
    sums = SufficientStatistics.empty(2, 2).add(
        torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 5.0]]), torch.tensor([0, 1, 0])
    )
    assert sums.counts.tolist() == [2, 1]
    assert sums.sums.tolist() == [[1, 7], [3, -1]]
    assert sums.products.tolist() == [[10, -1], [-1, 30]]


def test_the_order_of_rows_and_the_size_of_blocks_change_no_bit() -> None:
    whole, targets = drawn(5_000)
    at_once = SufficientStatistics.empty(12, 4).add(whole, targets)
    order = torch.randperm(5_000, generator=torch.Generator().manual_seed(1))
    little_by_little = SufficientStatistics.empty(12, 4)
    for part in order.split(7):
        little_by_little = little_by_little.add(whole[part], targets[part])
    assert same(at_once, little_by_little)


def test_rows_taken_out_leave_no_trace() -> None:
    whole, targets = drawn(3_000)
    kept = SufficientStatistics.empty(12, 4).add(whole[:2_000], targets[:2_000])
    assert same(kept.add(whole[2_000:], targets[2_000:]).add(whole[2_000:], targets[2_000:], sign=-1), kept)


@pytest.mark.parametrize("exact", [True, False], ids=["products of int8", "products of float32"])
def test_panels_and_products_of_any_kind_give_the_same_sums(monkeypatch, exact) -> None:
    if exact and not multiplies_integers_exactly():
        pytest.skip("this processor adds products of int8 in 16 bits")
    monkeypatch.setattr(_sufficient_statistics, "multiplies_integers_exactly", lambda: exact)
    monkeypatch.setattr(_sufficient_statistics, "PANEL", 5)
    monkeypatch.setattr(_sufficient_statistics, "INTEGER_BLOCK", 600)
    whole, targets = drawn(2_100)
    sums = SufficientStatistics.empty(12, 4).add(whole[:64], targets[:64]).add(whole[64:], targets[64:])
    assert torch.equal(sums.products, whole.double().T @ whole.double())
    by_class = torch.nn.functional.one_hot(targets, 4).double().T @ whole.double()
    assert torch.equal(sums.sums.double(), by_class)


def test_the_greatest_numbers_are_still_counted_exactly() -> None:
    whole = torch.full((4_099, 3), 127.0)
    sums = SufficientStatistics.empty(3, 1).add(whole, torch.zeros(4_099, dtype=torch.int64))
    assert sums.products.unique().tolist() == [4_099 * 127 * 127]


def test_sums_that_may_exceed_int32_go_on_in_int64(monkeypatch) -> None:
    monkeypatch.setattr(_sufficient_statistics, "INT32_ROWS", 80)
    whole, targets = drawn(120)
    sums = SufficientStatistics.empty(12, 4).add(whole[:70], targets[:70])
    assert sums.gram.dtype == torch.int32
    sums = sums.add(whole[70:], targets[70:])
    assert sums.gram.dtype == torch.int64
    assert torch.equal(sums.products, whole.double().T @ whole.double())


@pytest.mark.parametrize("times", [1, 1_000_000])
def test_sums_survive_storage_also_beyond_32_bits(times) -> None:
    sums = SufficientStatistics.empty(12, 4).add(*drawn(100))
    large = SufficientStatistics(sums.counts * times, sums.sums * times, sums.products * times)
    stored = large.to_tensors()
    assert stored["gram"].dtype == (torch.int32 if times == 1 else torch.int64)
    assert same(SufficientStatistics.from_tensors(stored), large)


def test_without_a_gram_matrix_the_other_sums_are_the_same_and_none_is_stored() -> None:
    whole, targets = drawn(3_000)
    without = SufficientStatistics.empty(12, 4, gram=False).add(whole, targets)
    full = SufficientStatistics.empty(12, 4).add(whole, targets)
    assert torch.equal(without.counts, full.counts) and torch.equal(without.sums, full.sums)
    assert without.gram is None and SufficientStatistics.from_tensors(without.to_tensors()).gram is None


def test_more_classes_have_room() -> None:
    sums = SufficientStatistics.empty(12, 4).add(*drawn(50)).widened(6)
    assert sums.sums.shape == (6, 12) and sums.counts[4:].tolist() == [0, 0]


def test_features_of_a_text_do_not_depend_on_the_batch_it_is_in() -> None:
    head = ClosedFormHead(16, 3, layers=2, expansion=300, seed=5)
    whole = head.combine([torch.randn(33, 16, generator=torch.Generator().manual_seed(i)) for i in range(2)])
    together = head.expand(whole)
    assert torch.equal(together, torch.cat([head.expand(row[None]) for row in whole]))
    assert torch.equal(together, together.round()) and float(together.max()) <= 127 and float(together.min()) == 0
