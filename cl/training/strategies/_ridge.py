"""Ridge regression, whose strength is chosen without held-out rows by generalised cross-validation.

Both forms give the same solution: over features, from sums alone, or over rows, which is cheaper while there are fewer
rows than features. How the equations are factorised is in `_factor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch

from cl.models.integer_products import product_of_integers
from cl.training.strategies._factor import CPU, Factor, factorise
from cl.training.strategies._sufficient_statistics import SufficientStatistics, indicators

Leverage = Callable[[torch.Tensor], torch.Tensor]
"""Maps integer features of learned rows (rows, features) to their leverages (rows,) at weight 1, from 0 to 1."""

ENOUGH_ROWS, SIGNS = 2, 100
"""From this many rows per feature on, so many random signs estimate the trace to a thousandth of the rows."""
AT_ONCE = PROBES_AT_ONCE = 1_024
"""Rows, and probes of the trace, that are in memory as floats at a time."""


@dataclass(frozen=True)
class RidgeSolution:
    """A ridge regression: its strength, and its weights (features, classes) in float64."""

    ridge: float
    weight: torch.Tensor


@dataclass(frozen=True)
class FeatureForm:
    """The equations over features, from the sums over all rows; features count in ``unit`` integer steps.

    They are solved on ``device``; what is returned is on the CPU.
    """

    sums: SufficientStatistics
    unit: float
    device: torch.device = CPU
    _last: dict[float, Factor] = field(default_factory=dict, repr=False)

    def solve(self, ridge: float) -> RidgeSolution:
        """Return ``(G + ridge I)^-1 C``, with the Gram matrix G and the class sums C.

        Raises:
            torch.linalg.LinAlgError: the equations have no solution.
        """
        return RidgeSolution(ridge, self._factor(ridge).solve(self._class_sums).cpu() / self.unit)

    def cross_validate(self, solution: RidgeSolution) -> float:
        """Return the generalised cross-validation score of a solution, lower is better.

        Golub, Heath and Wahba, 1979, equation 1.4: the mean squared residual over the squared share of free degrees of
        freedom. With many rows, the trace in it is estimated from random signs (Hutchinson, 1990).
        """
        factor, rows, size = self._factor(solution.ridge), self.sums.rows, len(self._gram)
        solved, class_sums = solution.weight * self.unit, self._class_sums.cpu()
        residual = (
            self.sums.memberships - float((solved * class_sums).sum()) - solution.ridge * float(solved.square().sum())
        )
        if rows < ENOUGH_ROWS * size or size <= SIGNS:
            trace = sum(factor.reduced_squares(probes) for probes in torch.eye(size).split(PROBES_AT_ONCE, dim=1))
        else:
            signs = torch.randint(0, 2, (size, SIGNS), generator=torch.Generator().manual_seed(0))
            trace = factor.reduced_squares(2.0 * signs - 1) / SIGNS
        return _criterion(residual, rows - size + solution.ridge * trace, rows)

    def leverage(self, ridge: float) -> Leverage:
        """Return the function that says how much each of some rows in the sums decides its own prediction."""
        factor = self._factor(ridge)

        def leverage(inputs: torch.Tensor) -> torch.Tensor:
            return factor.reduce(inputs.T).square().sum(0).double().cpu() / self.unit**2

        return leverage

    def lost_leverage(self, ridge: float, inputs: torch.Tensor, weights: torch.Tensor | None = None) -> Leverage:
        """Return the function that says how much leverage other rows have lost since these were added to the sums.

        It is the formula of Sherman, Morrison and Woodbury (Hager, 1989, equation 1), for a few added rows.

        Args:
            ridge: the strength.
            inputs: integer features of the added rows (added, features).
            weights: how often each of them counts; None: once.
        """
        added = inputs.double() / self.unit
        if weights is not None:
            added = added * weights.sqrt()[:, None]
        solved = self._factor(ridge).approximate(added.to(self.device)).cpu()
        core = torch.linalg.inv(torch.eye(len(added), dtype=torch.float64) - solved @ added.T)

        def lost(others: torch.Tensor) -> torch.Tensor:
            shared = (others.float() @ solved.T.float()).double() / self.unit
            result: torch.Tensor = (shared @ core * shared).sum(1)
            return result

        return lost

    def _factor(self, ridge: float) -> Factor:
        return factorise(self._gram, ridge, self._last, columns=self._class_sums.shape[1])

    @cached_property
    def _gram(self) -> torch.Tensor:
        return self.sums.products.to(self.device).div_(self.unit**2)

    @cached_property
    def _class_sums(self) -> torch.Tensor:
        return self.sums.sums.double().T.to(self.device) / self.unit


@dataclass(frozen=True)
class RowForm:
    """The same equations over rows: ``inputs`` (rows, features) are integers, ``targets`` their classes.

    Where a row may have several classes, ``targets`` are (rows, classes) with 1 for those it has. ``weights`` say how
    often each counts, None: once; inputs and targets are multiplied by their roots.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    classes: int
    unit: float
    weights: torch.Tensor | None = None
    _last: dict[float, Factor] = field(default_factory=dict, repr=False)

    def solve(self, ridge: float) -> RidgeSolution:
        """Return ``X^T (X X^T + ridge I)^-1 Y``, with the inputs X and one column of Y for each class.

        Raises:
            torch.linalg.LinAlgError: the equations have no solution.
        """
        dual = self._rooted(self._solve_dual(ridge))
        parts = (
            rows.double().T @ own for rows, own in zip(self.inputs.split(AT_ONCE), dual.split(AT_ONCE), strict=True)
        )
        return RidgeSolution(ridge, sum(parts, torch.zeros(())) / self.unit**2)

    def cross_validate(self, solution: RidgeSolution) -> float:
        """Return the generalised cross-validation score of a solution, lower is better, as `FeatureForm` does."""
        factor, size, ridge = self._factor(solution.ridge), len(self.targets), solution.ridge
        rows = size if self.weights is None else float(self.weights.sum())
        residual = ridge**2 * float(self._solve_dual(ridge).square().sum())
        trace = factor.reduced_squares(torch.eye(size, dtype=torch.float64))
        return _criterion(residual, rows - size + ridge * trace, rows)

    def leverage(self, ridge: float) -> Leverage:
        """Return the function that says how much each of some of these rows decides its own prediction."""
        factor = self._factor(ridge)

        def leverage(inputs: torch.Tensor) -> torch.Tensor:
            products = self._rooted(product_of_integers(self.inputs, inputs.T).double()) / self.unit**2
            return ((inputs.double() / self.unit).square().sum(1) - factor.reduce(products).square().sum(0)) / ridge

        return leverage

    def _solve_dual(self, ridge: float) -> torch.Tensor:
        return self._factor(ridge).solve(self._rooted(indicators(self.targets, self.classes)))

    def _factor(self, ridge: float) -> Factor:
        return factorise(self._kernel, ridge, self._last)

    def _rooted(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of the rows (rows, ...) times the roots of their weights."""
        return values if self.weights is None else values * self.weights.sqrt()[:, None]

    @cached_property
    def _kernel(self) -> torch.Tensor:
        exact = self._rooted(product_of_integers(self.inputs, self.inputs.T).double())
        return self._rooted(exact.T).div_(self.unit**2)  # of integers: the order of the features does not matter


def best_solution(
    form: FeatureForm | RowForm,
    ridges: Iterable[float],
    criterion: Callable[[RidgeSolution], float] | None = None,
) -> RidgeSolution:
    """Return the solution with the lowest criterion, generalised cross-validation by default; on a tie the first.

    Raises:
        torch.linalg.LinAlgError: the equations have no solution for one of the ridges.
    """
    tried = list(ridges)
    score = criterion or form.cross_validate if len(tried) > 1 else _no_score
    scored = [(solution, score(solution)) for solution in map(form.solve, tried)]
    if not all(solution.weight.isfinite().all() and score == score for solution, score in scored):
        raise torch.linalg.LinAlgError  # type: ignore[attr-defined]
    return min(scored, key=lambda entry: entry[1])[0]


def _no_score(solution: RidgeSolution) -> float:
    """Return 0: where there is one ridge, there is nothing to compare."""
    return 0.0


def left_out(fitted: torch.Tensor, leverage: torch.Tensor, targets: torch.Tensor, certain: float = 1.0) -> torch.Tensor:
    """Return the logits (rows, classes) of rows as if each had not been learned, exactly.

    Args:
        fitted: their logits by the solution that has learned them.
        leverage: of each row.
        targets: their classes, as in `RowForm`.
        certain: the logit that stands for certainty; less than 1 if the logits were divided by a temperature.
    """
    share = leverage[:, None].to(fitted)
    return (fitted - share * certain * indicators(targets, fitted.shape[1]).to(fitted)) / (1 - share).clamp(min=1e-6)


def _criterion(residual: float, free: float, rows: float) -> float:
    return (max(0.0, residual) / rows) / max(free / rows, 1e-9) ** 2
