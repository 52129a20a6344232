"""Streaming linear discriminant analysis: class means and a shared covariance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cl.plugins import Capability
from cl.training.strategies._closed_form import ClosedForm

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


class SLDA(ClosedForm):
    """Streaming LDA (Hayes and Kanan, 2020, equations 1 to 5), with the covariance of all rows so far.

    The paper updates a running covariance row by row; here it is computed from exact sums, so it does not depend on
    the order. The shrinkage is chosen on validation rows.

    >>> SLDA(shrinkage=[0.01]).trains_encoder
    False
    """

    requires: ClassVar[frozenset[Capability]] = ClosedForm.requires | {Capability.PROBABILITIES}

    remedy: ClassVar[str] = "give larger values of shrinkage"

    shrinkage: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [1e-3, 1e-2, 1e-1], min_length=1, description="Weights of the identity to try"
    )

    def needs_gram(self, rows: int, features: int) -> bool:
        """Return True: the covariance comes from it."""
        return True

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield ``S^-1 m`` and ``-m S^-1 m / 2`` for each class mean m and each shrunk covariance S."""
        import torch

        counts, means = sums.counts.double(), sums.means
        within = (sums.products - (means.T * counts) @ means) / (sums.rows or 1)
        identity = torch.eye(len(within), dtype=torch.float64) * within.diagonal().mean().clamp(min=1e-9)
        for share in self.shrinkage:
            factor = torch.linalg.cholesky((1 - share) * within + share * identity)
            weight = torch.cholesky_solve(means.T, factor)
            yield weight, -(means * weight.T).sum(1) / 2
