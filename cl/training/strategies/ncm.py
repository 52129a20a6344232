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

    Where a row may have any number of labels, a label is the likelier the nearer a row is to the mean of the rows that
    have it, compared with the mean over all labels of all rows.

    >>> NCM().trains_encoder
    False
    """

    requires: ClassVar[frozenset[Capability]] = ClosedForm.requires | {Capability.LABELS}

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the linear form of the distance: x . m - |m|^2 / 2 for each class mean m.

        With several labels a row, less the same of the common mean, and over the mean squared distance from it: the
        logits of features in any scale are then about as large as those that a sigmoid tells apart.
        """
        means = sums.means
        if not sums.has_several:
            yield means.T, -means.square().sum(1) / 2
            return
        common = sums.sums.double().sum(0) / max(1.0, sums.memberships)
        apart = means[sums.counts > 0] - common
        scale = apart.square().sum(1).mean().clamp(min=1e-12) if len(apart) else 1.0
        yield (means - common).T / scale, -(means.square().sum(1) - common.square().sum()) / (2 * scale)
