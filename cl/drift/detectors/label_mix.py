"""Test whether the shares of the known labels have changed."""

from __future__ import annotations

from typing import ClassVar, Protocol

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.drift.detectors.new_labels import unknown_label_rows, unseen_labels
from cl.heavy import np, pd
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import ChangedGroup, Finding
from cl.statistics import CELLS, Kind, format_p_value, is_unremarkable, simulated_p

FIRST, ROUNDS = 499, 4_999
SHOWN, KEPT = 3, 10
COUNTED = {"labels": "known labels"}
"""What the summary says is counted, if that differs from the kind of finding."""


class LabelMix(Detector):
    """Excess chi-squared over the counts of the labels that the champion knows (Zelterman, 1987), p by Monte Carlo.

    Tables with the same margins are drawn at random (Hope, 1968), so the p-value is valid even with many labels and few
    rows of each, where the chi-squared approximation fails. Labels with few rows add next to no noise, so none are
    pooled: which labels are rare depends on the rows that are compared. If a side is more even than chance would make
    it (a batch with as many rows of each label), a pool takes up its rows, and what is left seems to have moved. New
    labels are left to ``new_labels``.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, labels=['fee', 'fee', 'loan', 'card'])
    >>> LabelMix().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.LABELS})

    needs_labels: ClassVar[bool] = True

    min_rows: int = Field(20, ge=2, description="Rows with known labels required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the labels whose shares changed most."""
        known = [_known_label_column(side, new) for side in (reference, new)]
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
    if len(counts) < 2:
        return too_few_rows(detector.name, kind, needs=2, has=len(counts), what="labels")
    p_value, changed = _simulate_p(counts, seed), _most_changed(counts)
    shown = ", ".join(f"{label.name} {label.before:.1%} to {label.after:.1%}" for label in changed[:SHOWN])
    return Finding(
        detector=detector.name,
        kind=kind,
        drifted=p_value <= alpha,
        p_value=p_value,
        statistic=excess_chi_squared(counts),
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
    unknown = unknown_label_rows(after, new.known_labels, new.separator).map(bool).to_numpy(dtype=bool)
    indices = [labels.groupby(labels).indices for labels in (before, after.mask(unknown))]
    kept = [np.empty(0, dtype=int), np.empty(0, dtype=int)]
    for label in sorted(indices[0].keys() & indices[1].keys()):
        rows = min(len(by_label[label]) for by_label in indices)
        drawn = [rng.choice(by_label[label], rows, replace=False) for by_label in indices]
        kept = [np.append(chosen, more) for chosen, more in zip(kept, drawn, strict=True)]
    share = len(kept[1]) / max(1, int((~unknown).sum()))
    others = rng.choice(np.flatnonzero(unknown), round(share * int(unknown.sum())), replace=False)
    return reference.take(np.sort(kept[0])), new.take(np.sort(np.append(kept[1], others)))


def excess_chi_squared(counts: pd.DataFrame) -> float:
    """Return by how much chi-squared of a table of labels by side exceeds what chance leads to expect.

    For labels with many rows it is Pearson's chi-squared less one for each label. The fewer rows a label has, the less
    it counts; one with a single row does not count. The weight of a label depends on its total alone.
    """
    totals, share = counts.sum(axis=1).to_numpy(), counts["new"].sum() / counts.to_numpy().sum()
    return float(_excess(counts["new"].to_numpy()[None, :], totals, share)[0])


def _known_label_column(side: Snapshot, new: Snapshot) -> pd.Series:
    """Return a side's labels that the model knows; selecting by occurrence on one side instead would bias the test."""
    labels = side.frame["label"]
    return labels[~unknown_label_rows(labels, new.known_labels, new.separator).map(bool)]


def _simulate_p(counts: pd.DataFrame, seed: int) -> float:
    totals, rows = counts.sum(axis=1).to_numpy(), int(counts["new"].sum())
    repeated, rng = totals[totals > 1], np.random.default_rng(seed)
    margins = np.append(repeated, len(totals) - len(repeated))  # labels with one row add nothing: drawn as one group
    observed, share = excess_chi_squared(counts), rows / totals.sum()

    def simulated(rounds: int) -> np.ndarray:
        at_once = max(1, CELLS // len(margins))
        sizes = [min(at_once, rounds - start) for start in range(0, rounds, at_once)]
        tables = (rng.multivariate_hypergeometric(margins, rows, size=size, method="marginals") for size in sizes)
        return np.concatenate([_excess(drawn[:, :-1], repeated, share) for drawn in tables])

    first = simulated(FIRST)
    return simulated_p(observed, first if is_unremarkable(observed, first) else simulated(ROUNDS))


def _excess(drawn: np.ndarray, totals: np.ndarray, share: float) -> np.ndarray:
    """Return the statistic for each row of new-side counts; the reference side is the rest."""
    by_chance = drawn * (1 - share) ** 2 + (totals - drawn) * share**2
    weights = totals * share * (1 - share) + max(share, 1 - share)
    result: np.ndarray = (((drawn - totals * share) ** 2 - by_chance) / weights).sum(axis=1)
    return result


def _most_changed(counts: pd.DataFrame) -> list[ChangedGroup]:
    """Return the names whose shares changed most."""
    shares = counts / counts.sum()
    most = (shares["new"] - shares["reference"]).abs().sort_values(ascending=False, kind="stable").index[:KEPT]
    return [
        ChangedGroup(name=str(name), before=float(shares.at[name, "reference"]), after=float(shares.at[name, "new"]))
        for name in most
    ]
