"""Ridge regression whose strength is chosen without held-out rows, by generalised cross-validation.

Both forms give the same solution: over features, from sums alone, or over rows, which is cheaper while there are fewer
rows than features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch

from cl.training.strategies._sufficient_statistics import SufficientStatistics

Leverage = Callable[[torch.Tensor], torch.Tensor]
"""Maps integer features of learned rows (rows, features) to their leverages (rows,), from 0 to 1."""


@dataclass(frozen=True)
class RidgeSolution:
    """A ridge regression's weights, and how well it should do on new rows.

    ``weight`` (features, classes) is float64. ``criterion`` is the generalised cross-validation score (Golub, Heath
    and Wahba, 1979, equation 1.4): the mean squared residual over the squared share of free degrees of freedom; lower
    is better.
    """

    ridge: float
    weight: torch.Tensor
    criterion: float

    @property
    def is_finite(self) -> bool:
        """Whether the equations had a solution."""
        return bool(self.weight.isfinite().all()) and self.criterion == self.criterion


@dataclass(frozen=True)
class FeatureForm:
    """The equations over features, from the sums over all rows; features count in ``unit`` integer steps."""

    sums: SufficientStatistics
    unit: float

    def solve(self, ridge: float) -> RidgeSolution:
        """Return ``(G + ridge I)^-1 C``, with the Gram matrix G and the class sums C.

        Raises:
            torch.linalg.LinAlgError: the equations have no solution.
        """
        factor, rows = self._factor(ridge), self.sums.rows
        solved = torch.cholesky_solve(self._class_sums, factor)
        inverse = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
        residual = rows - float((solved * self._class_sums).sum()) - ridge * float(solved.square().sum())
        free = rows - len(factor) + ridge * float(inverse.square().sum())
        return RidgeSolution(ridge, solved / self.unit, _criterion(residual, free, rows))

    def leverage(self, ridge: float) -> Leverage:
        """Return the function that says how much each of some rows in the sums decides its own prediction."""
        factor = self._factor(ridge)

        def leverage(inputs: torch.Tensor) -> torch.Tensor:
            scaled = inputs.double() / self.unit
            reduced: torch.Tensor = torch.linalg.solve_triangular(factor, scaled.T, upper=False)
            return reduced.square().sum(0)

        return leverage

    def _factor(self, ridge: float) -> torch.Tensor:
        ridged = self._gram.clone()
        ridged.diagonal().add_(ridge)
        factor: torch.Tensor = torch.linalg.cholesky(ridged)
        return factor

    @cached_property
    def _gram(self) -> torch.Tensor:
        return self.sums.gram.double() / self.unit**2

    @cached_property
    def _class_sums(self) -> torch.Tensor:
        return self.sums.sums.double().T / self.unit


@dataclass(frozen=True)
class RowForm:
    """The same equations over rows: ``inputs`` (rows, features) are integers, ``targets`` their classes."""

    inputs: torch.Tensor
    targets: torch.Tensor
    classes: int
    unit: float

    def solve(self, ridge: float) -> RidgeSolution:
        """Return ``X^T (X X^T + ridge I)^-1 Y``, with the inputs X and one column of Y for each class.

        Raises:
            torch.linalg.LinAlgError: the equations have no solution.
        """
        dual, inverse = self._solve_dual(ridge)
        rows = len(self.targets)
        residual, free = ridge**2 * float(dual.square().sum()), ridge * float(inverse.sum())
        return RidgeSolution(ridge, self._scaled.T @ dual / self.unit, _criterion(residual, free, rows))

    def leverage(self, ridge: float) -> Leverage:
        """Return the function that says how much each of some of these rows decides its own prediction."""
        factor = self._factor(ridge)

        def leverage(inputs: torch.Tensor) -> torch.Tensor:
            exact = inputs.double()
            products = self.inputs.double() @ exact.T / self.unit**2
            reduced: torch.Tensor = torch.linalg.solve_triangular(factor, products, upper=False)
            return ((exact / self.unit).square().sum(1) - reduced.square().sum(0)) / ridge

        return leverage

    def _solve_dual(self, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the dual solution (rows, classes) and the diagonal of the inverse."""
        factor = self._factor(ridge)
        lower = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
        return torch.cholesky_solve(_one_hot(self.targets, self.classes), factor), lower.square().sum(0)

    def _factor(self, ridge: float) -> torch.Tensor:
        ridged = self._kernel.clone()
        ridged.diagonal().add_(ridge)
        factor: torch.Tensor = torch.linalg.cholesky(ridged)
        return factor

    @cached_property
    def _scaled(self) -> torch.Tensor:
        return self.inputs.double() / self.unit

    @cached_property
    def _kernel(self) -> torch.Tensor:
        exact = self.inputs.double()  # sums of integers below 2^53: the order of the features does not matter
        return exact @ exact.T / self.unit**2


def best_solution(form: FeatureForm | RowForm, ridges: Iterable[float]) -> RidgeSolution:
    """Return the solution with the lowest criterion; on a tie the first.

    Raises:
        torch.linalg.LinAlgError: the equations have no solution for one of the ridges.
    """
    solutions = [form.solve(ridge) for ridge in ridges]
    if not all(solution.is_finite for solution in solutions):
        raise torch.linalg.LinAlgError  # type: ignore[attr-defined]
    return min(solutions, key=lambda solution: solution.criterion)


def left_out(fitted: torch.Tensor, leverage: torch.Tensor, targets: torch.Tensor, certain: float = 1.0) -> torch.Tensor:
    """Return the logits (rows, classes) of rows as if each had not been learned, exactly.

    Args:
        fitted: their logits by the solution that has learned them.
        leverage: of each row.
        targets: their classes.
        certain: the logit that stands for certainty; less than 1 if the logits were divided by a temperature.
    """
    share = leverage[:, None].to(fitted)
    return (fitted - share * certain * _one_hot(targets, fitted.shape[1]).to(fitted)) / (1 - share).clamp(min=1e-6)


def _criterion(residual: float, free: float, rows: int) -> float:
    return (max(0.0, residual) / rows) / max(free / rows, 1e-9) ** 2


def _one_hot(targets: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(targets, classes).double()
