"""Test whether the shares of the champion's predictions have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors.label_mix import compare_labels, label_growth
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding

if TYPE_CHECKING:
    import numpy as np


class PredictionMix(Detector):
    """Excess chi-squared over the counts of the predictions, p by Monte Carlo as in ``label_mix``.

    It needs no labels, and detects label shift through the champion's predictions (black-box shift detection: Lipton et
    al., 2018, section 4; Rabanser et al., 2019).

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, labels=['fee', 'fee', 'loan', 'card'])
    >>> PredictionMix().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.LABELS})

    min_rows: int = Field(20, ge=2, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the predictions whose shares changed most."""
        predictions = [side.frame["prediction"] for side in (reference, new)]
        return compare_labels(self, "predictions", *predictions, alpha=alpha, seed=seed)

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return by how much the share of each row's prediction grew."""
        return label_growth(*(side.frame["prediction"] for side in (reference, new)))
