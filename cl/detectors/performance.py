"""Whether the champion does worse on the new rows than on the reference."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cl.detectors import Detector, Snapshot
from cl.detectors.new_labels import unseen
from cl.evidence import fallen, shown, too_few, wilson
from cl.records import Finding


class Performance(Detector):
    """A one-sided test that the champion's score fell by more than the tolerance.

    Fisher's exact test (Fisher, 1935) for scores of 0 and 1, after the tolerated share of the reference's
    rows is counted as wrong; a permutation test of the means (Pitman, 1937) for other scores, after the
    tolerance is taken off the reference. Rows whose labels the champion has never seen are left to
    ``new_labels``.
    """

    tolerance: float = Field(0.02, ge=0.0, lt=1.0, description="Drop in the mean row score that is no alarm")
    min_rows: int = Field(20, ge=2, description="Rows with known labels that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with Wilson's interval for the new score."""
        before = reference.frame["score"].to_numpy(dtype=float)
        after = new.frame["score"].to_numpy(dtype=float)[~unseen(new).map(bool).to_numpy(dtype=bool)]
        has = min(len(before), len(after))
        if has < self.min_rows:
            return too_few(self.name, "performance", needs=self.min_rows, has=has)
        p_value = _p_value(before, after, self.tolerance, seed)
        interval = wilson(float(after.mean()), len(after))
        return Finding(
            detector=self.name,
            kind="performance",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(after.mean() - before.mean()),
            summary=f"the champion's score: {before.mean():.1%} on {len(before)} reference rows, "
            f"{after.mean():.1%} on {len(after)} new ones with known labels "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%}, {shown(p_value)})",
        )


def _p_value(before: np.ndarray, after: np.ndarray, tolerance: float, seed: int) -> float:
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        return _fisher(before, after, tolerance)
    return fallen(before - tolerance, after, seed)


def _fisher(before: np.ndarray, after: np.ndarray, tolerance: float) -> float:
    from scipy.stats import hypergeom

    right_before = max(0, int(np.floor(before.sum() - tolerance * len(before) + 1e-9)))
    right_after = int(after.sum())
    rows, right = len(before) + len(after), right_before + right_after
    return float(hypergeom.cdf(right_after, rows, right, len(after)))
