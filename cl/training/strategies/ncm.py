"""Nearest class mean: assign a text to the class with the nearest mean feature vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from cl.plugins import Capability
from cl.training.strategies._closed_form import ClosedForm

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


class NCM(ClosedForm):
    """Nearest class mean on frozen features (Mensink et al., 2013, equation 1), by Euclidean distance.

    >>> NCM().trains_encoder
    False
    """

    requires: ClassVar[frozenset[Capability]] = ClosedForm.requires | {Capability.PROBABILITIES}

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the linear form of the distance: x . m - |m|^2 / 2 for each class mean m."""
        means = sums.means
        yield means.T, -means.square().sum(1) / 2
