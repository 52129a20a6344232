"""Whether the champion is as sure of itself as it was."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value

if TYPE_CHECKING:
    import numpy as np


class Confidence(Detector):
    """The two-sample Kolmogorov-Smirnov test on the confidences of the predictions.

    It needs no labels (Rabanser et al., 2019). The reference holds the confidences of held-out rows, so that
    memorised rows do not make the new ones look unsure. Ties make the test cautious, not wrong.
    """

    min_rows: int = Field(20, ge=2, description="Rows that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        from scipy.stats import ks_2samp

        before, after = (one.frame["confidence"].to_numpy(dtype=float) for one in (reference, new))
        has = min(len(before), len(after))
        if has < self.min_rows:
            return too_few_rows(self.name, "predictions", needs=self.min_rows, has=has)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # scipy says so when it takes the asymptotic p-value
            result = ks_2samp(before, after)
        p_value, statistic = float(result.pvalue), float(result.statistic)
        return Finding(
            detector=self.name,
            kind="predictions",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=statistic,
            summary=f"the champion's confidence: mean {before.mean():.2f} to {after.mean():.2f}, "
            f"distributions {statistic:.2f} apart ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how unsure the champion is of each row, or how sure where it became surer."""
        before, after = (one.frame["confidence"].to_numpy(dtype=float) for one in (reference, new))
        return after if after.mean() > before.mean() else 1 - after
