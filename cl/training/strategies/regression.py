"""Logistic regression on frozen features, refitted on all rows: what a careful engineer would try first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from cl.training.strategies._closed_form import ClosedForm, Learned, Solution
from cl.training.strategies._kept_rows import LabelledFeatures, expand_rows

if TYPE_CHECKING:
    from cl.config import Config
    from cl.models.closed_form_head import ClosedFormHead


class LogisticRegression(ClosedForm):
    """Logistic regression with an L2 penalty, fitted on the kept features of every row, in each update.

    It is multinomial, or where a row may have any number of labels, one regression for each of them.

    >>> LogisticRegression().trains_encoder
    False
    """

    decay: float = Field(0.1, gt=0, description="L2 penalty, for features scaled to a root mean square of one")

    def objection(self, config: Config) -> str | None:
        """Reject that features are not kept, in addition to what no closed form admits."""
        if not self.removable:
            return "it is fitted on the features of every row: set removable to true"
        return super().objection(config)

    def best(self, learned: Learned, head: ClosedFormHead, held_out: LabelledFeatures | None) -> Solution:
        """Return the weights of the highest penalised likelihood; the temperature is fitted on held-out rows."""
        import torch

        from cl.models.logistic_regression import fit_logistic
        from cl.models.temperature import fit_temperature

        rows, classes = expand_rows(learned.rows, head), len(learned.sums.counts)
        weight, bias = fit_logistic(rows.inputs, rows.targets, classes, decay=self.decay, weights=rows.weights)
        if not weight.isfinite().all():
            raise self.unsolved
        bias = bias.masked_fill(learned.sums.counts == 0, -math.inf)
        if held_out is None or not len(held_out.targets):
            return Solution(weight, bias)
        with torch.no_grad():
            return Solution(weight, bias, fit_temperature(held_out.inputs @ weight + bias, held_out.targets))
