"""Whether the champion's score has fallen, as far as its own confidence tells: before any label has come."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value, mean_drop_p


class EstimatedPerformance(Detector):
    """Confidence-based performance estimation: the mean of calibrated confidences (Guillory et al., 2021).

    Isotonic regression on the reference says how often the champion is right at each confidence; its mean over the new
    rows estimates their score. A permutation test asks whether it is lower than the reference's by more than the
    tolerance. It holds while the champion's confidence means what it meant; a change of the labels' meaning shows in
    ``performance`` alone.
    """

    tolerance: float = Field(0.02, ge=0.0, lt=1.0, description="Drop in the estimated score that is no alarm")
    min_rows: int = Field(50, ge=8, description="Rows that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; the statistic is the estimated change of the score."""
        has = min(len(reference.frame), len(new.frame))
        if has < self.min_rows:
            return too_few_rows(self.name, "performance", needs=self.min_rows, has=has)
        before, after = _estimates(reference, new)
        p_value = mean_drop_p(before - self.tolerance, after, seed)
        return Finding(
            detector=self.name,
            kind="performance",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(after.mean() - before.mean()),
            summary=f"the champion's score, estimated without labels: {before.mean():.1%} on {len(before)} reference "
            f"rows, {after.mean():.1%} on {len(after)} new ones ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return the chance that each row is answered wrongly."""
        return 1 - _estimates(reference, new)[1]


def _estimates(reference: Snapshot, new: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance of being right of each row: the reference's from the half that it is not in."""
    confidence, score = (reference.frame[name].to_numpy(dtype=float) for name in ("confidence", "score"))
    inside = np.empty(len(score))
    for half in (0, 1):
        inside[half::2] = _calibrated(confidence[1 - half :: 2], score[1 - half :: 2], confidence[half::2])
    return inside, _calibrated(confidence, score, new.frame["confidence"].to_numpy(dtype=float))


def _calibrated(confidence: np.ndarray, score: np.ndarray, asked: np.ndarray) -> np.ndarray:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, score).predict(asked)
