"""Whether known labels come in other shares than they did."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import pandas as pd
from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.drift.detectors.new_labels import unknown_label_rows, unseen_labels
from cl.models.snapshot import Snapshot
from cl.records import ChangedGroup, Finding
from cl.statistics import Kind, format_p_value, is_unremarkable, simulated_p

RARE = 1.0
FIRST, ROUNDS = 499, 4_999
SHOWN, KEPT = 3, 10
WORDS = {"labels": "known labels"}
"""What is counted, where the kind of finding has another word for it."""


class LabelMix(Detector):
    """Pearson's chi-squared over the counts of the labels that the champion knows, p by Monte Carlo.

    Tables with the same margins are drawn at random (Hope, 1968), so the p-value holds with many labels and
    few rows of each, where the chi-squared distribution does not. Labels of which less than one row is
    expected are pooled. New labels are left to ``new_labels``.
    """

    needs_labels: ClassVar[bool] = True

    min_rows: int = Field(20, ge=2, description="Rows with known labels that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the labels that moved most."""
        known = [_known(one, new.known_labels) for one in (reference, new)]
        return compare_labels(self, "labels", *known, alpha=alpha, seed=seed)

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return by how much the share of each row's label grew; labels never seen are another detector's to show."""
        grown = label_growth(*(one.frame["label"] for one in (reference, new)))
        return np.where(unseen_labels(new).map(bool), -1.0, grown)


def label_growth(before: pd.Series, after: pd.Series) -> np.ndarray:
    """Return by how much the share of each new row's name grew."""
    shares = [one.value_counts(normalize=True) for one in (before, after)]
    return (after.map(shares[1]) - after.map(shares[0]).fillna(0.0)).to_numpy(dtype=float)


class MixDetector(Protocol):
    """A detector that compares shares of names; ``min_rows`` is how many rows each side needs."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def min_rows(self) -> int:
        """Rows that each side needs."""
        ...


def compare_labels(
    detector: MixDetector, kind: Kind, before: pd.Series, after: pd.Series, *, alpha: float, seed: int
) -> Finding:
    """Return the finding on two series of names: whether their shares differ, and which moved most."""
    has = min(len(before), len(after))
    if has < detector.min_rows:
        return too_few_rows(detector.name, kind, needs=detector.min_rows, has=has)
    counts = pd.DataFrame({"reference": before.value_counts(), "new": after.value_counts()})
    counts = counts.fillna(0).astype(int).sort_index()
    pooled = _pool_rare(counts)
    if len(pooled) < 2:
        return too_few_rows(detector.name, kind, needs=2, has=len(pooled), what="labels")
    p_value, moved = _p_value(pooled, seed), _moved(counts)
    named = ", ".join(f"{one.name} {one.before:.1%} to {one.after:.1%}" for one in moved[:SHOWN])
    return Finding(
        detector=detector.name,
        kind=kind,
        drifted=p_value <= alpha,
        p_value=p_value,
        statistic=chi_squared(pooled),
        moved=moved,
        summary=f"mix of {len(counts)} {WORDS.get(kind, kind)}, most moved: {named} ({format_p_value(p_value)})",
    )


def match_labels(reference: Snapshot, new: Snapshot, seed: int) -> tuple[Snapshot, Snapshot]:
    """Return as many rows of each label on both sides as the side with fewer of it has, drawn at random.

    What still differs between them is not the mix of the labels. Rows of labels that the champion does not know are
    no part of that mix: the new side keeps them, in proportion.
    """
    rng = np.random.default_rng(seed)
    before, after = (one.frame["label"].reset_index(drop=True) for one in (reference, new))
    unknown = unknown_label_rows(after, new.known_labels).map(bool).to_numpy(dtype=bool)
    places = [one.groupby(one).indices for one in (before, after.mask(unknown))]
    kept = [np.empty(0, dtype=int), np.empty(0, dtype=int)]
    for label in sorted(places[0].keys() & places[1].keys()):
        rows = min(len(its[label]) for its in places)
        drawn = [rng.choice(its[label], rows, replace=False) for its in places]
        kept = [np.append(one, more) for one, more in zip(kept, drawn, strict=True)]
    share = len(kept[1]) / max(1, int((~unknown).sum()))
    others = rng.choice(np.flatnonzero(unknown), round(share * int(unknown.sum())), replace=False)
    return reference.take(np.sort(kept[0])), new.take(np.sort(np.append(kept[1], others)))


def chi_squared(counts: pd.DataFrame) -> float:
    """Return Pearson's statistic of a table of labels by side."""
    return float(_statistics(counts["new"].to_numpy()[None, :], counts)[0])


def _known(side: Snapshot, known: tuple[str, ...]) -> pd.Series:
    """Return the labels that the champion knows: chosen by their occurrence on one side they would bend the test."""
    return side.frame["label"][~unseen_labels(Snapshot(side.frame, side.embeddings, known)).map(bool)]


def _pool_rare(counts: pd.DataFrame) -> pd.DataFrame:
    expected = counts.sum(axis=1) * counts.sum().min() / counts.to_numpy().sum()
    rare = expected < RARE
    if rare.sum() < 2:
        return counts
    pooled = counts[rare].sum().to_frame().T
    return pooled if rare.all() else pd.concat([counts[~rare], pooled])


def _p_value(counts: pd.DataFrame, seed: int) -> float:
    totals, rows = counts.sum(axis=1).to_numpy(), int(counts["new"].sum())
    rng = np.random.default_rng(seed)
    observed = chi_squared(counts)

    def simulated(rounds: int) -> np.ndarray:
        return _statistics(rng.multivariate_hypergeometric(totals, rows, size=rounds, method="marginals"), counts)

    some = simulated(FIRST)
    return simulated_p(observed, some if is_unremarkable(observed, some) else simulated(ROUNDS))


def _statistics(drawn: np.ndarray, counts: pd.DataFrame) -> np.ndarray:
    """Return the statistic for each row of counts of the new side; the reference side is the rest."""
    totals, sides = counts.sum(axis=1).to_numpy(), counts.sum()
    share = sides["new"] / totals.sum()
    return ((drawn - totals * share) ** 2 / (totals * share * (1 - share))).sum(axis=1)


def _moved(counts: pd.DataFrame) -> list[ChangedGroup]:
    """Return the names whose shares moved most."""
    shares = counts / counts.sum()
    most = (shares["new"] - shares["reference"]).abs().sort_values(ascending=False, kind="stable").index[:KEPT]
    return [
        ChangedGroup(name=str(name), before=float(shares.at[name, "reference"]), after=float(shares.at[name, "new"]))
        for name in most
    ]
