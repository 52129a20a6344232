"""Test whether the champion's estimated score has fallen, before any label arrives."""

from __future__ import annotations

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value, mean_drop_p


class EstimatedPerformance(Detector):
    """Confidence-based performance estimation: the mean of calibrated confidences (Guillory et al., 2021).

    Isotonic regression on the reference estimates how often the champion is right at each confidence; the mean over the
    new rows estimates their score. A permutation test checks whether it is lower than the reference's by more than the
    tolerance. The estimate is valid while the champion's calibration holds; only ``performance`` detects a change in
    the meaning of the labels.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(500), sample_snapshot(500, seed=1, confidence=0.3)
    >>> EstimatedPerformance().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    tolerance: float = Field(0.02, ge=0.0, lt=1.0, description="Drop in the estimated score that is no alarm")
    min_rows: int = Field(50, ge=8, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; the statistic is the estimated change of the score."""
        has = min(len(reference.frame), len(new.frame))
        if has < self.min_rows:
            return too_few_rows(self.name, "performance", needs=self.min_rows, has=has)
        before, after = _estimate_scores(reference, new)
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
        """Return the estimated probability that each row is predicted wrongly."""
        return 1 - _estimate_scores(reference, new)[1]


def _estimate_scores(reference: Snapshot, new: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's estimated probability of being right; reference rows are cross-fitted over two halves."""
    confidence, score = (reference.frame[name].to_numpy(dtype=float) for name in ("confidence", "score"))
    cross_fitted = np.empty(len(score))
    for half in (0, 1):
        cross_fitted[half::2] = _calibrate(confidence[1 - half :: 2], score[1 - half :: 2], confidence[half::2])
    return cross_fitted, _calibrate(confidence, score, new.frame["confidence"].to_numpy(dtype=float))


def _calibrate(confidence: np.ndarray, score: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Fit scores to confidences by isotonic regression, and return the calibrated targets."""
    from sklearn.isotonic import IsotonicRegression

    result: np.ndarray = (
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, score).predict(targets)
    )
    return result
