"""Random projection and ridge regression on frozen features: the most accurate of the closed forms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cl.training.strategies._closed_form import CHOOSING_ROWS, ClosedForm, LabelledFeatures, Learned, expand_rows

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.training.strategies._ridge import FeatureForm, RidgeSolution, RowForm


class RanPAC(ClosedForm):
    """RanPAC (McDonnell et al., 2023, equations 4 to 6): ridge regression on randomly expanded features.

    Unlike in the paper, features are the concatenated mean states of the last layers, not of the last one only, and
    are rounded to int8. The ridge is chosen by generalised cross-validation over all rows; the paper holds out
    training rows for that.

    >>> RanPAC(features=500, ridge=[1.0, 10.0]).is_closed_form
    True
    """

    remedy: ClassVar[str] = "give larger values of ridge"

    features: int = Field(
        5_000, ge=16, description="Number of random features; the sums grow with its square (2 bytes each)"
    )
    ridge: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        [10.0, 100.0, 1_000.0, 10_000.0], min_length=1, description="Ridge strengths to try"
    )
    seed: int = Field(0, ge=0, description="Seed of the random projection")

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return a head with the random expansion."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers, expansion=self.features, seed=self.seed)

    def best(
        self, learned: Learned, head: ClosedFormHead, held_out: LabelledFeatures | None
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return the solution with the ridge that generalised cross-validation prefers; its bias is zero.

        The temperature is fitted on held-out rows; without them, on learned rows as if each had been left out.
        """
        import torch

        from cl.models.temperature import fit_temperature
        from cl.training.strategies._ridge import best_solution

        form = self._equations(learned, head)
        try:
            solution = best_solution(form, self.ridge)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise self.unsolved from None
        absent = learned.sums.counts == 0
        weight, bias = solution.weight.float(), torch.zeros(len(absent)).masked_fill(absent, -math.inf)
        if held_out is None:
            logits, targets = self._left_out(form, solution, learned, head)
        else:
            logits, targets = held_out.inputs @ weight, held_out.targets
        return weight, bias, fit_temperature(logits + bias, targets)

    def _equations(self, learned: Learned, head: ClosedFormHead) -> FeatureForm | RowForm:
        """Return the equations over rows while these are fewer, else over features."""
        from cl.models.closed_form_head import SIGMAS, STEPS
        from cl.training.strategies._ridge import FeatureForm, RowForm

        unit = STEPS / SIGMAS  # integer steps per standard deviation: ridges do not depend on the rounding
        if learned.rows is not None and learned.sums.rows <= self.features // 2:
            rows = expand_rows(learned.rows, head)
            return RowForm(rows.inputs, rows.targets, len(learned.sums.counts), unit)
        return FeatureForm(learned.sums, unit)

    @staticmethod
    def _left_out(
        form: FeatureForm | RowForm, solution: RidgeSolution, learned: Learned, head: ClosedFormHead
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and classes of learned rows as if each had been left out; none if no rows are kept."""
        from cl.training.strategies._ridge import FeatureForm

        if not isinstance(form, FeatureForm):
            return form.left_out(solution).float(), form.targets
        rows = expand_rows(learned.rows, head, most=CHOOSING_ROWS)
        return form.left_out(solution, rows.inputs, rows.targets).float(), rows.targets
