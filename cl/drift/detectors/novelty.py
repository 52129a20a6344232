"""Test whether more rows than before lie far from everything in the reference."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import EXAMPLES, Detector, sample_rows
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding
from cl.statistics import format_p_value

AT_ONCE = 2_048


class Novelty(Detector):
    """The share of rows out of scope: far from their nearest neighbours in the reference (Sun et al., 2022).

    The distance is from a normalised embedding to its ``neighbours``-th nearest reference row. The threshold is such
    that ``share`` of the reference's own rows, leaving each row itself out, lie beyond it. More new rows beyond it than
    chance allows (Fisher's exact test, one-sided) raise an alarm: a few rows of a new topic do not move the mean, and
    this detector finds them first.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200, shift=3.0), sample_snapshot(200, seed=1)
    >>> Novelty().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.EMBEDDINGS})

    share: float = Field(0.02, gt=0, lt=0.5, description="Share of the reference rows that count as far, by definition")
    neighbours: int = Field(3, ge=1, description="Rank of the nearest neighbour to which the distance is measured")
    max_rows: int = Field(10_000, ge=20, description="Rows compared per side, at most; drawn at random")
    min_rows: int = Field(20, ge=8, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the farthest rows as examples."""
        from scipy.stats import hypergeom

        has = min(len(reference.embeddings), len(new.embeddings))
        if has < max(self.min_rows, self.neighbours + 1):
            return too_few_rows(self.name, "inputs", needs=max(self.min_rows, self.neighbours + 1), has=has)
        rng = np.random.default_rng(seed)
        before = normalise(sample_rows(reference.embeddings, self.max_rows, rng))
        rows = sample_rows(np.arange(len(new.embeddings)), self.max_rows, rng)
        after = normalise(new.embeddings[rows])
        inside = distances(before, before, self.neighbours + 1)  # the first neighbour is the row itself
        outside = distances(after, before, self.neighbours)
        if float(max(inside.max(), outside.max())) < 1e-6:
            return too_few_rows(self.name, "inputs", needs=2, has=1, what="different rows")
        threshold = self.threshold(inside)
        far_before, far_after = int((inside > threshold).sum()), int((outside > threshold).sum())
        total, far = len(before) + len(after), far_before + far_after
        p_value = float(hypergeom.sf(far_after - 1, total, far, len(after)))
        order = np.argsort(-outside, kind="stable")[:EXAMPLES]
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=far_after / len(after),
            examples=[str(new.frame["id"].iloc[rows[index]]) for index in order if outside[index] > threshold],
            summary=f"out of scope: {far_before / len(before):.1%} of {len(before)} reference rows, "
            f"{far_after / len(after):.1%} of {len(after)} new ones ({format_p_value(p_value)})",
        )

    def threshold(self, inside: np.ndarray) -> float:
        """Return the distance beyond which a row counts as far, given the distances of the reference's own rows."""
        return float(np.quantile(inside, 1 - self.share, method="higher"))


def normalise(rows: np.ndarray) -> np.ndarray:
    """Return embeddings (rows, width) scaled to unit length."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    result: np.ndarray = (rows / np.maximum(norms, 1e-12)).astype(np.float32)
    return result


def distances(rows: np.ndarray, among: np.ndarray, neighbour: int) -> np.ndarray:
    """Return each row's cosine distance to its ``neighbour``-th nearest row of ``among``."""
    result = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), AT_ONCE):
        similarities = rows[start : start + AT_ONCE] @ among.T
        result[start : start + AT_ONCE] = 1 - np.partition(similarities, -neighbour, axis=1)[:, -neighbour]
    return result
