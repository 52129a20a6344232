"""The most frequent class, whatever the text: what any model must beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cl.training.strategies._closed_form import ClosedForm

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


class Majority(ClosedForm):
    """Answer with the class that has the most rows, as their weights count them, and with its share as confidence.

    Where a row may have any number of labels, each label's share is its probability: those that most rows have are
    answered.

    >>> Majority().trains_encoder
    False
    """

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield weights of zero, and the logarithm of each class's share."""
        shares = sums.counts.double() / (sums.rows or 1)
        yield sums.sums.double().T * 0, shares.logit(eps=0.5 / (sums.rows or 1)) if sums.has_several else shares.log()
