"""Whether the champion does worse on the new rows than on the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.drift.detectors.new_labels import unseen_labels
from cl.models.snapshot import Snapshot
from cl.records import ChangedGroup, Finding
from cl.statistics import format_p_value, mean_drop_p, wilson_interval

KEPT = 10
SLICE_ROWS = 3
"""Rows of each side below which a slice could not show even that everything in it is wrong now."""
THIRDS = ("short texts", "texts of middle length", "long texts")


@dataclass(frozen=True)
class _Slice:
    """The scores of some rows on both sides, and the p-value of their fall."""

    name: str
    before: np.ndarray
    after: np.ndarray
    p_value: float


class Performance(Detector):
    """A one-sided test that the champion's score fell by more than the tolerance: over all rows, or on a slice of them.

    Fisher's exact test (Fisher, 1935) for scores of 0 and 1, after the tolerated share of the reference's
    rows is counted as wrong; a permutation test of the means (Pitman, 1937) for other scores, after the
    tolerance is taken off the reference. Rows whose labels the champion has never seen are left to
    ``new_labels``.

    One class of a hundred that is always wrong now hardly moves the mean. So each class, and each third of the texts
    by length, is asked the same; half of the chance of a false alarm goes to all rows, the other half in equal parts
    to the slices (Bonferroni, weighted). What fell most is told with its intervals, alarm or not.
    """

    needs_labels: ClassVar[bool] = True

    tolerance: float = Field(0.02, ge=0.0, lt=1.0, description="Drop in the mean row score that is no alarm")
    min_rows: int = Field(20, ge=2, description="Rows with known labels that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with Wilson's interval for the new score and for each slice that fell."""
        before, after = reference.frame, new.frame[~unseen_labels(new).map(bool).to_numpy(dtype=bool)]
        has = min(len(before), len(after))
        if has < self.min_rows:
            return too_few_rows(self.name, "performance", needs=self.min_rows, has=has)
        whole = self._slice("all rows", before, after, seed)
        slices = [self._slice(name, was, now, seed) for name, was, now in _slices(before, after)]
        p_value = min(1.0, 2 * min([whole.p_value, *(len(slices) * one.p_value for one in slices)]))
        moved, interval = declined_slices(slices), wilson_interval(float(whole.after.mean()), len(after))
        most = f"; of {len(slices)} slices {_told(moved[0])}" if moved else ""
        return Finding(
            detector=self.name,
            kind="performance",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(whole.after.mean() - whole.before.mean()),
            moved=moved,
            summary=f"the champion's score: {whole.before.mean():.1%} on {len(before)} reference rows, "
            f"{whole.after.mean():.1%} on {len(after)} new ones with known labels "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%}){most} ({format_p_value(p_value)})",
        )

    def _slice(self, name: str, before: pd.DataFrame, after: pd.DataFrame, seed: int) -> _Slice:
        was, now = (one["score"].to_numpy(dtype=float) for one in (before, after))
        return _Slice(name, was, now, _p_value(was, now, self.tolerance, seed))

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how sure the champion was of each answer that is wrong; right ones show nothing."""
        wrong = 1 - new.frame["score"].to_numpy(dtype=float)
        return np.where((wrong > 0) & ~unseen_labels(new).map(bool), wrong * new.frame["confidence"], -1.0)


def declined_slices(slices: list[_Slice]) -> list[ChangedGroup]:
    """Return the slices whose score fell, the surest falls first."""
    lower = [one for one in slices if one.after.mean() < one.before.mean()]
    most = sorted(lower, key=lambda one: (one.p_value, one.after.mean() - one.before.mean()))[:KEPT]
    return [
        ChangedGroup(
            name=one.name,
            before=float(one.before.mean()),
            after=float(one.after.mean()),
            **wilson_interval(float(one.after.mean()), len(one.after)).model_dump(),
        )
        for one in most
    ]


def _slices(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield each class and each third of the texts by length, as rows of both sides; by size alone, not by score.

    What is too small says nothing, and would take its part of alpha from the others.
    """
    cuts = before["text"].str.len().quantile([1 / 3, 2 / 3]).tolist()
    thirds = [np.array(THIRDS)[np.searchsorted(cuts, one["text"].str.len())] for one in (before, after)]
    for ways in ([one["label"].to_numpy() for one in (before, after)], thirds):
        groups = [dict(list(one.groupby(way))) for one, way in zip((before, after), ways, strict=True)]
        for name in sorted(groups[0].keys() & groups[1].keys()):
            was, now = (group[name] for group in groups)
            if min(len(was), len(now)) >= SLICE_ROWS:
                yield str(name), was, now


def _told(moved: ChangedGroup) -> str:
    return f"{moved.name} fell most: {moved.before:.1%} to {moved.after:.1%}"


def _p_value(before: np.ndarray, after: np.ndarray, tolerance: float, seed: int) -> float:
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        return _fisher(before, after, tolerance)
    return mean_drop_p(before - tolerance, after, seed)


def _fisher(before: np.ndarray, after: np.ndarray, tolerance: float) -> float:
    """Return the p-value; tolerated rows are seldom a whole number, and in between p-values are interpolated.

    It is never smaller than without a tolerance. To round down would take a whole row from a slice of seven.
    """
    from scipy.stats import hypergeom

    right = max(0.0, float(before.sum()) - tolerance * len(before))
    whole = int(np.floor(right + 1e-9))
    rows, right_after = len(before) + len(after), int(after.sum())
    fewer, more = hypergeom.cdf(right_after, rows, np.array([whole, whole + 1]) + right_after, len(after))
    part = max(0.0, right - whole)
    return float(part * more + (1 - part) * fewer) if part else float(fewer)
