"""Whether known labels come in other shares than they did."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from cl.detectors import Detector, Snapshot
from cl.detectors.new_labels import unseen
from cl.evidence import monte_carlo_p, shown, too_few
from cl.records import Finding

RARE = 1.0
ROUNDS = 4_999
SHOWN = 3


class LabelMix(Detector):
    """Pearson's chi-squared over the counts of the labels that the champion knows, p by Monte Carlo.

    Tables with the same margins are drawn at random (Hope, 1968), so the p-value holds with many labels and
    few rows of each, where the chi-squared distribution does not. Labels of which less than one row is
    expected are pooled. New labels are left to ``new_labels``.
    """

    min_rows: int = Field(20, ge=2, description="Rows with known labels that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the labels that moved most."""
        counts = _counts(reference, new)
        has = int(counts.sum().min())
        if has < self.min_rows:
            return too_few(self.name, "labels", needs=self.min_rows, has=has)
        pooled = _pool_rare(counts)
        if len(pooled) < 2:
            return too_few(self.name, "labels", needs=2, has=len(pooled), what="labels")
        statistic, p_value = chi_squared(pooled), _p_value(pooled, alpha, seed)
        return Finding(
            detector=self.name,
            kind="labels",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=statistic,
            summary=f"mix of {len(counts)} known labels, most moved: {_moves(counts)} ({shown(p_value)})",
        )


def chi_squared(counts: pd.DataFrame) -> float:
    """Return Pearson's statistic of a table of labels by side."""
    return float(_statistics(counts["new"].to_numpy()[None, :], counts)[0])


def _counts(reference: Snapshot, new: Snapshot) -> pd.DataFrame:
    """Count what the champion knows: labels chosen by their occurrence on one side would bend the test."""
    sides = {
        name: side.frame["label"][~unseen(Snapshot(side.frame, side.embeddings, new.known_labels)).map(bool)]
        for name, side in (("reference", reference), ("new", new))
    }
    counts = pd.DataFrame({name: labels.value_counts() for name, labels in sides.items()})
    return counts.fillna(0).astype(int).sort_index()


def _pool_rare(counts: pd.DataFrame) -> pd.DataFrame:
    expected = counts.sum(axis=1) * counts.sum().min() / counts.to_numpy().sum()
    rare = expected < RARE
    if rare.sum() < 2:
        return counts
    return pd.concat([counts[~rare], counts[rare].sum().to_frame().T])


def _p_value(counts: pd.DataFrame, alpha: float, seed: int) -> float:
    rounds = max(ROUNDS, int(np.ceil(10 / alpha)))
    totals, rows = counts.sum(axis=1).to_numpy(), int(counts["new"].sum())
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(totals, rows, size=rounds, method="marginals")
    return monte_carlo_p(chi_squared(counts), _statistics(drawn, counts))


def _statistics(drawn: np.ndarray, counts: pd.DataFrame) -> np.ndarray:
    """Return the statistic for each row of counts of the new side; the reference side is the rest."""
    totals, sides = counts.sum(axis=1).to_numpy(), counts.sum()
    share = sides["new"] / totals.sum()
    return ((drawn - totals * share) ** 2 / (totals * share * (1 - share))).sum(axis=1)


def _moves(counts: pd.DataFrame) -> str:
    shares = counts / counts.sum()
    most = (shares["new"] - shares["reference"]).abs().sort_values(ascending=False, kind="stable").index[:SHOWN]
    return ", ".join(f"{label} {shares.at[label, 'reference']:.1%} to {shares.at[label, 'new']:.1%}" for label in most)
