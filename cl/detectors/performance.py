"""Whether the champion does worse on the new rows than on the reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from cl.detectors import Detector, Snapshot
from cl.detectors.new_labels import unseen
from cl.evidence import fallen, shown, too_few, wilson
from cl.records import Finding, Moved

KEPT = 10


class Performance(Detector):
    """A one-sided test that the champion's score fell by more than the tolerance.

    Fisher's exact test (Fisher, 1935) for scores of 0 and 1, after the tolerated share of the reference's
    rows is counted as wrong; a permutation test of the means (Pitman, 1937) for other scores, after the
    tolerance is taken off the reference. Rows whose labels the champion has never seen are left to
    ``new_labels``. An alarm says which classes, and which thirds of the texts by length, fell most, each with its
    interval.
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

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how sure the champion was of each answer that is wrong; right ones show nothing."""
        wrong = 1 - new.frame["score"].to_numpy(dtype=float)
        return np.where((wrong > 0) & ~unseen(new).map(bool), wrong * new.frame["confidence"], -1.0)

    def explain(self, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
        """Return the alarm with the slices that fell most, and wrong answers that the champion was sure of."""
        moved = fallen_slices(_sliced(reference, reference), _sliced(new, reference))
        return super().explain(finding.model_copy(update={"moved": moved}), reference, new)


def fallen_slices(before: pd.DataFrame, after: pd.DataFrame) -> list[Moved]:
    """Return the slices whose score fell most, in standard errors; both frames have columns ``slice``, ``score``."""
    sides = [one.groupby("slice")["score"].agg(["mean", "size"]) for one in (before, after)]
    both = sides[0].join(sides[1], lsuffix="_before", rsuffix="_after", how="inner")
    rows = both["size_before"] + both["size_after"]
    pooled = (both["mean_before"] * both["size_before"] + both["mean_after"] * both["size_after"]) / rows
    errors = np.sqrt((pooled * (1 - pooled)).clip(lower=1e-9) * (1 / both["size_before"] + 1 / both["size_after"]))
    order = ((both["mean_after"] - both["mean_before"]) / errors).sort_values(kind="stable")
    most = both.loc[order[order < 0].index[:KEPT]]
    return [
        Moved(name=str(name), before=before, after=after, **wilson(after, size).model_dump())
        for name, before, after, size in most[["mean_before", "mean_after", "size_after"]].itertuples(name=None)
    ]


def _sliced(side: Snapshot, reference: Snapshot) -> pd.DataFrame:
    """Return one line for each row and slice that it is in: its label, and its third of the texts by length."""
    known = side.frame[~unseen(Snapshot(side.frame, side.embeddings, reference.known_labels)).map(bool)]
    cuts = reference.frame["text"].str.len().quantile([1 / 3, 2 / 3]).tolist()
    thirds = np.searchsorted(cuts, known["text"].str.len())
    names = pd.Series(["short texts", "texts of middle length", "long texts"])[thirds].to_numpy()
    return pd.concat(
        [known[["score"]].assign(slice=known["label"]), known[["score"]].assign(slice=names)], ignore_index=True
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
