"""Random projection and ridge regression on frozen features: the strongest of the closed forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cl.training.strategies._closed_form import ClosedForm

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


class RanPAC(ClosedForm):
    """RanPAC (McDonnell et al., 2023, equations 4 to 6): ridge regression on randomly expanded features.

    It differs in what it reads (the mean states of the last layers side by side instead of the last one alone), and
    in its whole numbers. Of the ridges given, validation rows choose; the paper holds out training rows for that.
    """

    remedy: ClassVar[str] = "give larger values of ridge"

    features: int = Field(5_000, ge=16, description="Random features; the sums grow with their square (2 bytes each)")
    ridge: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        [1.0, 10.0, 100.0, 1000.0], min_length=1, description="Strengths to try"
    )
    seed: int = Field(0, ge=0, description="Of the random projection")

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return a head with the random expansion."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers, expansion=self.features, seed=self.seed)

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield ``(G + ridge I)^-1 C`` for each ridge, G the gram matrix and C the sums of each class."""
        import torch

        from cl.models.closed_form_head import SIGMAS, STEPS

        unit = STEPS / SIGMAS  # whole numbers in one standard deviation: ridges do not depend on the rounding
        gram, sums_of = sums.gram.double() / unit**2, sums.sums.double().T / unit
        for ridge in self.ridge:
            ridged = gram.clone()
            ridged.diagonal().add_(ridge)
            weight = torch.cholesky_solve(sums_of, torch.linalg.cholesky(ridged)) / unit
            yield weight, torch.zeros(weight.shape[1], dtype=torch.float64)
