"""Factors of a symmetric system with a ridge on its diagonal: in float64, or in float32 with refined solutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

LARGE, MOST_COLUMNS = 1_000, 64
"""From this size on, and for so few columns at most, a factor in float32 saves more than the refinement costs."""
TOLERANCE = 1e-9
"""Error of a refined solution, relative in the norm of the system; weights are stored in float32."""
CPU = torch.device("cpu")
MATRICES = 6
"""Matrices in float64 that solving needs room for."""
MOST_STEPS = 20
"""Each step of the refinement adds about three digits; a system that takes more than these is factorised again."""


def solving_device(device: torch.device, size: int) -> torch.device:
    """Return where equations of this size are summed and solved: the learner's GPU if they fit, else the CPU."""
    if device.type != "cuda":
        return CPU
    free, _ = torch.cuda.mem_get_info(device)
    return device if free > MATRICES * 8 * size**2 else CPU


@dataclass(frozen=True)
class Factor:
    """The Cholesky factor ``lower`` of ``matrix + ridge I``, in float64 or in float32."""

    matrix: torch.Tensor
    ridge: float
    lower: torch.Tensor

    def reduce(self, right: torch.Tensor) -> torch.Tensor:
        """Return ``L^-1 right`` in the factor's precision: its squared columns are ``x (M + ridge I)^-1 x``.

        In float32 these are off by about a hundred-thousandth.
        """
        result: torch.Tensor = torch.linalg.solve_triangular(self.lower, right.to(self.lower), upper=False)
        return result

    def reduced_squares(self, right: torch.Tensor) -> float:
        """Return the sum of all squares of `reduce`: the trace of ``right^T (M + ridge I)^-1 right``."""
        return float(torch.linalg.vector_norm(self.reduce(right), dtype=torch.float64) ** 2)

    def solve(self, right: torch.Tensor) -> torch.Tensor:
        """Return ``(M + ridge I)^-1 right`` in float64, for columns (size, columns).

        A factor in float32 preconditions conjugate gradients in float64 (Hestenes and Stiefel, 1952), which multiply by
        the exact matrix until the error is below `TOLERANCE`: the solution does not depend on the factor.

        Raises:
            torch.linalg.LinAlgError: the equations have no solution.
        """
        if self.lower.dtype == torch.float64:
            return torch.cholesky_solve(right, self.lower)
        return self._refine(right.T).T.contiguous()

    def _refine(self, right: torch.Tensor) -> torch.Tensor:
        """Solve for rows (columns, size) of the right side, each by itself: products with a row are the fastest."""
        solution, residual = torch.zeros_like(right), right.clone()
        conditioned = self.approximate(residual)
        error = first = (residual * conditioned).sum(1, keepdim=True)
        direction = conditioned
        for _ in range(MOST_STEPS):
            if bool((error <= TOLERANCE**2 * first).all()):
                return solution
            product = direction @ self.matrix + self.ridge * direction
            step = _ratio(error, (direction * product).sum(1, keepdim=True))
            solution, residual = solution + step * direction, residual - step * product
            conditioned = self.approximate(residual)
            before, error = error, (residual * conditioned).sum(1, keepdim=True)
            direction = conditioned + _ratio(error, before) * direction
        exact = _cholesky(self.matrix, self.ridge, torch.float64)
        return torch.cholesky_solve(right.T, exact).T

    def approximate(self, rows: torch.Tensor) -> torch.Tensor:
        """Return ``rows (M + ridge I)^-1`` for rows (rows, size), as closely as the factor's precision allows."""
        half = torch.linalg.solve_triangular(self.lower, rows.T.to(self.lower), upper=False)
        whole: torch.Tensor = torch.linalg.solve_triangular(self.lower.mT, half, upper=True)
        return whole.T.to(rows)


def factorise(matrix: torch.Tensor, ridge: float, last: dict[float, Factor], *, columns: int | None = None) -> Factor:
    """Return the Cholesky factor of a matrix with the ridge on its diagonal.

    Args:
        matrix: symmetric, float64 (size, size).
        ridge: what is added to its diagonal.
        last: keeps the last factor computed.
        columns: for how many the equations will be solved; None: the factor must be in float64.

    Raises:
        torch.linalg.LinAlgError: the equations have no solution.
    """
    if ridge not in last:
        last.clear()
        lower = None
        if columns is not None and columns <= MOST_COLUMNS and len(matrix) >= LARGE:
            lower = _try_float32(matrix, ridge)
        last[ridge] = Factor(matrix, ridge, _cholesky(matrix, ridge, torch.float64) if lower is None else lower)
    return last[ridge]


def _try_float32(matrix: torch.Tensor, ridge: float) -> torch.Tensor | None:
    """Return the factor in float32; None: rounding has made the system indefinite."""
    try:
        return _cholesky(matrix, ridge, torch.float32)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None


def _cholesky(matrix: torch.Tensor, ridge: float, kind: torch.dtype) -> torch.Tensor:
    ridged = matrix.to(kind, copy=True)
    ridged.diagonal().add_(ridge)
    lower: torch.Tensor = torch.linalg.cholesky(ridged)
    return lower


def _ratio(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Return a quotient, 0 where there is nothing left to divide by."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0)
