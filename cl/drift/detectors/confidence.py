"""Test whether the champion's confidence has changed."""

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

    It needs no labels (Rabanser et al., 2019). The reference holds confidences on held-out rows: memorised rows would
    make the new ones seem uncertain. Ties make the test conservative, not wrong.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, confidence=2.0)
    >>> Confidence().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    min_rows: int = Field(20, ge=2, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        from scipy.stats import ks_2samp

        before, after = (side.frame["confidence"].to_numpy(dtype=float) for side in (reference, new))
        has = min(len(before), len(after))
        if has < self.min_rows:
            return too_few_rows(self.name, "predictions", needs=self.min_rows, has=has)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns when it uses the asymptotic p-value
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
        """Return how uncertain the champion is of each row, or how certain if its confidence rose."""
        before, after = (side.frame["confidence"].to_numpy(dtype=float) for side in (reference, new))
        result: np.ndarray = after if after.mean() > before.mean() else 1 - after
        return result
