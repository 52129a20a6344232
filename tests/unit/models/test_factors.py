from __future__ import annotations

import pytest
import torch

from cl.models.factors import add_up, factor, lost_share, padded, shorten, squared_length


def test_updates_are_added_up_without_loss() -> None:
    first = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    second = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0, 3.0, 0.0]])
    up, down = add_up([first, second])
    assert down.shape == (2, 3)
    assert (up @ down).tolist() == [[1.0, 0.0, 1.0], [2.0, 3.0, 2.0]]
    assert squared_length((up, down)) == pytest.approx(1 + 1 + 4 + 9 + 4)


@pytest.mark.parametrize("way", ["of factors", "of a matrix"])
def test_the_direction_that_matters_less_is_lost(way) -> None:
    """Its singular values are 4 and 3: of 25, rank 1 keeps 16."""
    matrix = torch.tensor([[0.0, 4.0, 0.0], [3.0, 0.0, 0.0]])
    shorter = shorten((torch.eye(2), matrix), 1) if way == "of factors" else factor(matrix, 1)
    torch.testing.assert_close(shorter[0] @ shorter[1], torch.tensor([[0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    assert shorter[1].norm().item() == pytest.approx(1.0)
    assert lost_share({"layer": 25.0}, {"layer": shorter}) == pytest.approx(9 / 25)


@pytest.mark.parametrize("rank", [2, 5])
def test_a_rank_that_suffices_loses_nothing(rank) -> None:
    matrix = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])
    for shorter in (shorten((torch.eye(2), matrix), rank), factor(matrix, rank)):
        torch.testing.assert_close(shorter[0] @ shorter[1], matrix)
        ((up, down),) = padded([shorter], 5)
        assert up.shape == (2, 5) and down.shape == (5, 3)
        torch.testing.assert_close(up @ down, matrix)
    assert lost_share({}, {}) == 0.0


def test_a_large_matrix_is_factored_as_well_as_exactly_and_always_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(60, 90, generator=generator)
    before = torch.get_rng_state()
    up, down = factor(matrix, 10)
    assert torch.equal(before, torch.get_rng_state())
    again = factor(matrix, 10)
    assert torch.equal(up, again[0]) and torch.equal(down, again[1])
    best = torch.linalg.svdvals(matrix)[10:].square().sum()
    assert (matrix - up @ down).square().sum().item() == pytest.approx(best.item(), rel=0.02)
