"""Random projection and ridge regression on frozen features: the most accurate of the closed forms."""

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

    Unlike in the paper, features are the concatenated mean states of the last layers, not of the last one only, and
    are rounded to int8. The ridge is chosen on validation rows; the paper holds out training rows for that.

    >>> RanPAC(features=500, ridge=[1.0, 10.0]).is_closed_form
    True
    """

    remedy: ClassVar[str] = "give larger values of ridge"

    features: int = Field(
        5_000, ge=16, description="Number of random features; the sums grow with its square (2 bytes each)"
    )
    ridge: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        [1.0, 10.0, 100.0, 1000.0], min_length=1, description="Ridge strengths to try"
    )
    seed: int = Field(0, ge=0, description="Seed of the random projection")

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return a head with the random expansion."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers, expansion=self.features, seed=self.seed)

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield ``(G + ridge I)^-1 C`` for each ridge, with the Gram matrix G and the class sums C."""
        import torch

        from cl.models.closed_form_head import SIGMAS, STEPS

        unit = STEPS / SIGMAS  # integer steps per standard deviation: ridges do not depend on the rounding
        gram, sums_of = sums.gram.double() / unit**2, sums.sums.double().T / unit
        for ridge in self.ridge:
            ridged = gram.clone()
            ridged.diagonal().add_(ridge)
            weight = torch.cholesky_solve(sums_of, torch.linalg.cholesky(ridged)) / unit
            yield weight, torch.zeros(weight.shape[1], dtype=torch.float64)
