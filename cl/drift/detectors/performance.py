"""Test whether the champion scores lower on the new rows than on the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.drift.detectors.new_labels import unseen_labels
from cl.heavy import np, pd
from cl.models.snapshot import Snapshot
from cl.records import ChangedGroup, Finding
from cl.statistics import format_p_value, mean_drop_p, wilson_interval

KEPT = 10
SLICE_ROWS = 3
"""Minimum rows per side of a slice: with fewer, even a slice that is entirely wrong could not show it."""
THIRDS = ("short texts", "texts of middle length", "long texts")


@dataclass(frozen=True)
class _Slice:
    """The scores of a slice on both sides, and the p-value of their drop."""

    name: str
    before: np.ndarray
    after: np.ndarray
    p_value: float


class Performance(Detector):
    """A one-sided test that the champion's score fell by more than the tolerance: over all rows, or on a slice of them.

    Scores of 0 and 1 use Fisher's exact test (Fisher, 1935), after the tolerated share of the reference rows is counted
    as wrong; other scores use a permutation test of the means (Pitman, 1937), after the tolerance is subtracted from
    the reference. Rows whose labels the champion has never seen are left to ``new_labels``.

    A single class of a hundred that is now always wrong hardly moves the mean. So each class, and each third of the
    texts by length, is tested as well: half of alpha goes to all rows, the other half in equal parts to the slices
    (weighted Bonferroni). The slices that fell most are reported with their intervals, alarm or not.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, accuracy=0.6)
    >>> Performance().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    needs_labels: ClassVar[bool] = True

    tolerance: float = Field(0.02, ge=0.0, lt=1.0, description="Drop in the mean row score that is no alarm")
    min_rows: int = Field(20, ge=2, description="Rows with known labels required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with Wilson's interval for the new score and for each slice that fell."""
        before, after = reference.frame, new.frame[~unseen_labels(new).map(bool).to_numpy(dtype=bool)]
        has = min(len(before), len(after))
        if has < self.min_rows:
            return too_few_rows(self.name, "performance", needs=self.min_rows, has=has)
        whole = self._slice("all rows", before, after, seed)
        slices = [self._slice(name, was, now, seed) for name, was, now in _slices(before, after)]
        p_value = min(1.0, 2 * min([whole.p_value, *(len(slices) * part.p_value for part in slices)]))
        declined, interval = declined_slices(slices), wilson_interval(float(whole.after.mean()), len(after))
        worst = f"; of {len(slices)} slices {_describe_drop(declined[0])}" if declined else ""
        return Finding(
            detector=self.name,
            kind="performance",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(whole.after.mean() - whole.before.mean()),
            moved=declined,
            summary=f"the champion's score: {whole.before.mean():.1%} on {len(before)} reference rows, "
            f"{whole.after.mean():.1%} on {len(after)} new ones with known labels "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%}){worst} ({format_p_value(p_value)})",
        )

    def _slice(self, name: str, before: pd.DataFrame, after: pd.DataFrame, seed: int) -> _Slice:
        was, now = (frame["score"].to_numpy(dtype=float) for frame in (before, after))
        return _Slice(name, was, now, _drop_p(was, now, self.tolerance, seed))

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return the champion's confidence in each wrong prediction, -1 for correct ones."""
        wrong = 1 - new.frame["score"].to_numpy(dtype=float)
        return np.where((wrong > 0) & ~unseen_labels(new).map(bool), wrong * new.frame["confidence"], -1.0)


def declined_slices(slices: list[_Slice]) -> list[ChangedGroup]:
    """Return the slices whose score fell, most significant first."""
    lower = [part for part in slices if part.after.mean() < part.before.mean()]
    declined = sorted(lower, key=lambda part: (part.p_value, part.after.mean() - part.before.mean()))[:KEPT]
    return [
        ChangedGroup(
            name=part.name,
            before=float(part.before.mean()),
            after=float(part.after.mean()),
            **wilson_interval(float(part.after.mean()), len(part.after)).model_dump(),
        )
        for part in declined
    ]


def _slices(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield each class and each third of the texts by length, as rows of both sides; selected by size, not by score.

    A slice that is too small shows nothing, and would take its share of alpha from the others.
    """
    cuts = before["text"].str.len().quantile([1 / 3, 2 / 3]).tolist()
    thirds = [np.array(THIRDS)[np.searchsorted(cuts, frame["text"].str.len())] for frame in (before, after)]
    for keys in ([frame["label"].to_numpy() for frame in (before, after)], thirds):
        groups = [dict(list(frame.groupby(key))) for frame, key in zip((before, after), keys, strict=True)]
        for name in sorted(groups[0].keys() & groups[1].keys()):
            was, now = (group[name] for group in groups)
            if min(len(was), len(now)) >= SLICE_ROWS:
                yield str(name), was, now


def _describe_drop(group: ChangedGroup) -> str:
    return f"{group.name} fell most: {group.before:.1%} to {group.after:.1%}"


def _drop_p(before: np.ndarray, after: np.ndarray, tolerance: float, seed: int) -> float:
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        return _fisher_p(before, after, tolerance)
    return mean_drop_p(before - tolerance, after, seed)


def _fisher_p(before: np.ndarray, after: np.ndarray, tolerance: float) -> float:
    """Return the p-value of Fisher's test, interpolated between integers if the tolerated rows are a fraction.

    It is never smaller than without a tolerance. Rounding down would take an entire row from a slice of seven.
    """
    from scipy.stats import hypergeom

    right = max(0.0, float(before.sum()) - tolerance * len(before))
    whole = int(np.floor(right + 1e-9))
    rows, right_after = len(before) + len(after), int(after.sum())
    fewer, more = hypergeom.cdf(right_after, rows, np.array([whole, whole + 1]) + right_after, len(after))
    fraction = max(0.0, right - whole)
    return float(fraction * more + (1 - fraction) * fewer) if fraction else float(fewer)
