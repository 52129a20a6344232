"""Factors in float32: they make solving cheaper, not less exact."""

from __future__ import annotations

import pytest
import torch

from cl.training.strategies import _factor
from cl.training.strategies._factor import CPU, factorise, solving_device
from cl.training.strategies._ridge import FeatureForm
from cl.training.strategies._sufficient_statistics import SufficientStatistics

SIZE = 1_000


@pytest.fixture(scope="module")
def system() -> tuple[torch.Tensor, torch.Tensor]:
    """A Gram matrix whose condition number with ridge 10 is above 10^5, and right sides, one of which is zero."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 100, (1_500, SIZE), generator=generator).double() / 25.4
    right = torch.randn(SIZE, 4, generator=generator, dtype=torch.float64)
    right[:, 2] = 0
    return rows.T @ rows, right


def test_a_refined_solution_is_that_of_float64(system) -> None:
    matrix, right = system
    quick, exact = factorise(matrix, 10.0, {}, columns=4), factorise(matrix, 10.0, {})
    assert quick.lower.dtype == torch.float32 and exact.lower.dtype == torch.float64
    unrefined = torch.cholesky_solve(right.float(), quick.lower).double()
    solution, expected = quick.solve(right), exact.solve(right)
    torch.testing.assert_close(solution, expected, rtol=0, atol=1e-8 * float(expected.abs().max()))
    assert (unrefined - expected).abs().max() > 10 * (solution - expected).abs().max()
    assert not solution[:, 2].any()
    torch.testing.assert_close(quick.reduced_squares(right), exact.reduced_squares(right), rtol=1e-4, atol=0)


def test_a_refinement_that_takes_too_long_gives_way_to_float64(system, monkeypatch) -> None:
    matrix, right = system
    monkeypatch.setattr(_factor, "MOST_STEPS", 1)
    solution = factorise(matrix, 10.0, {}, columns=4).solve(right)
    torch.testing.assert_close(solution, factorise(matrix, 10.0, {}).solve(right))


def test_a_system_that_float32_makes_indefinite_is_factorised_in_float64() -> None:
    matrix = torch.full((SIZE, SIZE), 1e7, dtype=torch.float64)
    assert factorise(matrix, 1e-2, {}, columns=4).lower.dtype == torch.float64


def test_many_right_sides_and_small_systems_are_solved_in_float64(system) -> None:
    matrix, _ = system
    assert factorise(matrix, 10.0, {}, columns=500).lower.dtype == torch.float64
    assert factorise(matrix[:50, :50], 10.0, {}, columns=4).lower.dtype == torch.float64


def test_leverages_lost_to_added_rows_are_those_of_the_larger_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(-127, 128, (60, 20), generator=generator).float()
    weights = torch.rand(6, generator=generator, dtype=torch.float64)
    before = SufficientStatistics.empty(20, 1).add(whole[:54], torch.zeros(54, dtype=torch.int64))
    after = before.add(whole[54:], torch.zeros(6, dtype=torch.int64), weights)
    forms = [FeatureForm(sums, 25.4) for sums in (before, after)]
    first, second = (form.leverage(10.0)(whole) for form in forms)
    assert (first - second).max() > 1e-3
    torch.testing.assert_close(
        first - second, forms[1].lost_leverage(10.0, whole[54:], weights)(whole), atol=1e-6, rtol=1e-4
    )


def test_a_gpu_solves_where_the_matrices_fit_into_its_memory(monkeypatch) -> None:
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))
    assert solving_device(gpu, 1_000) == gpu and solving_device(gpu, 10_000) == CPU
    assert solving_device(CPU, 1_000) == CPU
