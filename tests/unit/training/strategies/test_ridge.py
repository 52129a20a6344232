"""Ridge regression over features and over rows: one solution, and a strength that needs no held-out rows."""

from __future__ import annotations

import pytest
import torch

from cl.training.strategies._ridge import FeatureForm, RidgeSolution, RowForm, best_solution, left_out
from cl.training.strategies._sufficient_statistics import SufficientStatistics

UNIT = 25.4
RIDGES = [0.5, 10.0, 1_000.0]


def rows_of(count: int, features: int, classes: int, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Integer features around the centres of classes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, features, generator=generator)
    targets = torch.arange(count) % classes
    exact = centres[targets] + noise * torch.randn(count, features, generator=generator)
    return (exact * UNIT).round().clamp(-127, 127), targets


def forms(inputs: torch.Tensor, targets: torch.Tensor) -> tuple[FeatureForm, RowForm]:
    classes = int(targets.max()) + 1
    sums = SufficientStatistics.empty(inputs.shape[1], classes).add(inputs, targets)
    return FeatureForm(sums, UNIT), RowForm(inputs, targets, classes, UNIT)


def without_row(
    form: FeatureForm | RowForm, solution: RidgeSolution, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The logits of rows, each as if it had not been learned."""
    return left_out(inputs.double() @ solution.weight, form.leverage(solution.ridge)(inputs), targets)


@pytest.mark.parametrize(("rows", "features"), [(12, 40), (60, 20)])
@pytest.mark.parametrize("ridge", RIDGES)
def test_both_forms_have_one_solution_one_criterion_and_the_same_left_out_logits(rows, features, ridge) -> None:
    inputs, targets = rows_of(rows, features, 3)
    by_feature, by_row = forms(inputs, targets)
    first, second = by_feature.solve(ridge), by_row.solve(ridge)
    torch.testing.assert_close(first.weight, second.weight)
    assert by_feature.cross_validate(first) == pytest.approx(by_row.cross_validate(second), rel=1e-6)
    torch.testing.assert_close(
        without_row(by_feature, first, inputs, targets), without_row(by_row, second, inputs, targets)
    )


def test_left_out_logits_are_those_of_a_regression_without_the_row() -> None:
    inputs, targets = rows_of(15, 8, 3)
    _, form = forms(inputs, targets)
    logits = without_row(form, form.solve(10.0), inputs, targets)
    for row in range(len(targets)):
        others = [other for other in range(len(targets)) if other != row]
        without = RowForm(inputs[others], targets[others], 3, UNIT).solve(10.0)
        torch.testing.assert_close(logits[row], inputs[row].double() @ without.weight)


def test_the_criterion_is_the_one_of_golub_heath_and_wahba() -> None:
    inputs, targets = rows_of(30, 12, 3)
    scaled, wanted = inputs.double() / UNIT, torch.nn.functional.one_hot(targets, 3).double()
    hat = scaled @ torch.linalg.inv(scaled.T @ scaled + 10.0 * torch.eye(12, dtype=torch.float64)) @ scaled.T
    residual, free = (wanted - hat @ wanted).square().sum() / 30, (30 - hat.trace()) / 30
    form = forms(inputs, targets)[0]
    assert form.cross_validate(form.solve(10.0)) == pytest.approx(float(residual / free**2), rel=1e-9)


def test_with_many_rows_the_criterion_is_estimated_closely() -> None:
    for_features, for_rows = forms(*rows_of(600, 150, 3, noise=3.0))
    scores = [[form.cross_validate(form.solve(ridge)) for ridge in RIDGES] for form in (for_features, for_rows)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-2)
    assert scores[0] != scores[1], "over features it is an estimate"


def test_clear_classes_get_a_weaker_ridge_than_noise_does() -> None:
    chosen = [
        best_solution(forms(*rows_of(60, 40, 3, noise=noise))[1], [0.1, 10.0, 1_000.0, 100_000.0]).ridge
        for noise in (0.1, 30.0)
    ]
    assert chosen[0] < chosen[1]


def test_equations_without_a_solution_are_refused() -> None:
    with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        best_solution(forms(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))[0], [1e-300])
