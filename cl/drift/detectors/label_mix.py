"""Test whether the shares of the known labels have changed."""

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
COUNTED = {"labels": "known labels"}
"""What the summary says is counted, if that differs from the kind of finding."""


class LabelMix(Detector):
    """Pearson's chi-squared over the counts of the labels that the champion knows, p by Monte Carlo.

    Tables with the same margins are drawn at random (Hope, 1968), so the p-value is valid even with many labels and few
    rows of each, where the chi-squared approximation fails. Labels with an expected count below one are pooled. New
    labels are left to ``new_labels``.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, labels=['fee', 'fee', 'loan', 'card'])
    >>> LabelMix().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    needs_labels: ClassVar[bool] = True

    min_rows: int = Field(20, ge=2, description="Rows with known labels required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the labels whose shares changed most."""
        known = [_known_label_column(side, new.known_labels) for side in (reference, new)]
        return compare_labels(self, "labels", *known, alpha=alpha, seed=seed)

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return by how much the share of each row's label grew; rows with unknown labels are left to `NewLabels`."""
        growth = label_growth(*(side.frame["label"] for side in (reference, new)))
        return np.where(unseen_labels(new).map(bool), -1.0, growth)


def label_growth(before: pd.Series, after: pd.Series) -> np.ndarray:
    """Return by how much the share of each new row's name grew."""
    shares = [names.value_counts(normalize=True) for names in (before, after)]
    result: np.ndarray = (after.map(shares[1]) - after.map(shares[0]).fillna(0.0)).to_numpy(dtype=float)
    return result


class MixDetector(Protocol):
    """A detector that compares shares of names."""

    @property
    def name(self) -> str:
        """Name in the configuration."""
        ...

    @property
    def min_rows(self) -> int:
        """Rows required on each side."""
        ...


def compare_labels(
    detector: MixDetector, kind: Kind, before: pd.Series, after: pd.Series, *, alpha: float, seed: int
) -> Finding:
    """Return the finding on two series of names: whether their shares differ, and which changed most."""
    has = min(len(before), len(after))
    if has < detector.min_rows:
        return too_few_rows(detector.name, kind, needs=detector.min_rows, has=has)
    counts = pd.DataFrame({"reference": before.value_counts(), "new": after.value_counts()})
    counts = counts.fillna(0).astype(int).sort_index()
    pooled = _pool_rare(counts)
    if len(pooled) < 2:
        return too_few_rows(detector.name, kind, needs=2, has=len(pooled), what="labels")
    p_value, changed = _simulate_p(pooled, seed), _most_changed(counts)
    shown = ", ".join(f"{label.name} {label.before:.1%} to {label.after:.1%}" for label in changed[:SHOWN])
    return Finding(
        detector=detector.name,
        kind=kind,
        drifted=p_value <= alpha,
        p_value=p_value,
        statistic=chi_squared(pooled),
        moved=changed,
        summary=f"mix of {len(counts)} {COUNTED.get(kind, kind)}, most changed: {shown} ({format_p_value(p_value)})",
    )


def match_labels(reference: Snapshot, new: Snapshot, seed: int) -> tuple[Snapshot, Snapshot]:
    """Return label-matched samples: equally many rows of each label on both sides, drawn at random.

    Any difference that remains is not due to the label mix. Rows with labels that the champion does not know are not
    part of that mix: the new side keeps a proportional share of them.
    """
    rng = np.random.default_rng(seed)
    before, after = (side.frame["label"].reset_index(drop=True) for side in (reference, new))
    unknown = unknown_label_rows(after, new.known_labels).map(bool).to_numpy(dtype=bool)
    indices = [labels.groupby(labels).indices for labels in (before, after.mask(unknown))]
    kept = [np.empty(0, dtype=int), np.empty(0, dtype=int)]
    for label in sorted(indices[0].keys() & indices[1].keys()):
        rows = min(len(by_label[label]) for by_label in indices)
        drawn = [rng.choice(by_label[label], rows, replace=False) for by_label in indices]
        kept = [np.append(chosen, more) for chosen, more in zip(kept, drawn, strict=True)]
    share = len(kept[1]) / max(1, int((~unknown).sum()))
    others = rng.choice(np.flatnonzero(unknown), round(share * int(unknown.sum())), replace=False)
    return reference.take(np.sort(kept[0])), new.take(np.sort(np.append(kept[1], others)))


def chi_squared(counts: pd.DataFrame) -> float:
    """Return Pearson's chi-squared statistic of a table of labels by side."""
    return float(_chi_squared_rows(counts["new"].to_numpy()[None, :], counts)[0])


def _known_label_column(side: Snapshot, known: tuple[str, ...]) -> pd.Series:
    """Return a side's known labels; selecting by occurrence on one side instead would bias the test."""
    return side.frame["label"][~unseen_labels(Snapshot(side.frame, side.embeddings, known)).map(bool)]


def _pool_rare(counts: pd.DataFrame) -> pd.DataFrame:
    expected = counts.sum(axis=1) * counts.sum().min() / counts.to_numpy().sum()
    rare = expected < RARE
    if rare.sum() < 2:
        return counts
    pooled = counts[rare].sum().to_frame().T
    return pooled if rare.all() else pd.concat([counts[~rare], pooled])


def _simulate_p(counts: pd.DataFrame, seed: int) -> float:
    totals, rows = counts.sum(axis=1).to_numpy(), int(counts["new"].sum())
    rng = np.random.default_rng(seed)
    observed = chi_squared(counts)

    def simulated(rounds: int) -> np.ndarray:
        return _chi_squared_rows(rng.multivariate_hypergeometric(totals, rows, size=rounds, method="marginals"), counts)

    first = simulated(FIRST)
    return simulated_p(observed, first if is_unremarkable(observed, first) else simulated(ROUNDS))


def _chi_squared_rows(drawn: np.ndarray, counts: pd.DataFrame) -> np.ndarray:
    """Return the statistic for each row of new-side counts; the reference side is the rest."""
    totals, sides = counts.sum(axis=1).to_numpy(), counts.sum()
    share = sides["new"] / totals.sum()
    result: np.ndarray = ((drawn - totals * share) ** 2 / (totals * share * (1 - share))).sum(axis=1)
    return result


def _most_changed(counts: pd.DataFrame) -> list[ChangedGroup]:
    """Return the names whose shares changed most."""
    shares = counts / counts.sum()
    most = (shares["new"] - shares["reference"]).abs().sort_values(ascending=False, kind="stable").index[:KEPT]
    return [
        ChangedGroup(name=str(name), before=float(shares.at[name, "reference"]), after=float(shares.at[name, "new"]))
        for name in most
    ]
