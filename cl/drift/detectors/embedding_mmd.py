"""Test whether the distribution of the champion's embeddings has changed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import Detector, project_on_shift, sample_rows
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding
from cl.statistics import format_p_value, is_unremarkable, simulated_p

WIDTH_ROWS = 1_000
FIRST = 199
AT_ONCE = 8_192


class EmbeddingMmd(Detector):
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al., 2012), p by permutation.

    Random Fourier features (Rahimi and Recht, 2007, section 3) approximate the kernel, so that the discrepancy is the
    distance between two means and the cost is linear in the rows, not quadratic. The median distance is the kernel's
    width. A change of the label mix moves the embeddings, too.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, shift=1.0)
    >>> EmbeddingMmd().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.EMBEDDINGS})

    permutations: int = Field(999, ge=99, description="Permutations; a fitted curve extends their tail")
    features: int = Field(512, ge=16, description="Random frequencies that approximate the kernel")
    max_rows: int = Field(10_000, ge=20, description="Rows compared per side, at most; drawn at random")
    min_rows: int = Field(20, ge=2, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        has = min(len(reference.embeddings), len(new.embeddings))
        if has < self.min_rows:
            return too_few_rows(self.name, "inputs", needs=self.min_rows, has=has)
        rng = np.random.default_rng(seed)
        before, after = (sample_rows(side.embeddings, self.max_rows, rng) for side in (reference, new))
        width = _median_distance(_sample_pooled(before, after, rng))
        if not width:
            return too_few_rows(self.name, "inputs", needs=2, has=1, what="different rows")
        frequencies = (rng.normal(size=(before.shape[1], self.features)) / np.sqrt(width / 2)).astype(np.float32)
        observed, permuted = _discrepancies(before, after, frequencies, min(FIRST, self.permutations), rng)
        if not is_unremarkable(observed, permuted):
            observed, permuted = _discrepancies(before, after, frequencies, self.permutations, rng)
        p_value, unbiased = simulated_p(observed, permuted), observed - float(permuted.mean())
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=unbiased,
            summary=f"distance of {len(after)} new from {len(before)} reference texts in embedding space: "
            f"MMD² {unbiased:.4f} ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how far each new row lies in the direction in which the embeddings moved."""
        return project_on_shift(reference, new)


def _discrepancies(
    before: np.ndarray, after: np.ndarray, frequencies: np.ndarray, rounds: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return the squared distance between the mean features of both sides, observed and for each permutation.

    One pass in blocks keeps memory constant: the number of rows of a block that a permutation assigns to the new side
    is hypergeometric in the rows that remain, and which rows those are is drawn uniformly.
    """
    rows, new = len(before) + len(after), len(after)
    # centring near the mean keeps the sums precise
    centre = _features(sample_rows(before, WIDTH_ROWS, rng), frequencies).mean(axis=0)
    remaining, remaining_new = rows, np.full(rounds, new)
    total, observed, sums = np.zeros(len(centre)), np.zeros(len(centre)), np.zeros((rounds, len(centre)))
    blocks = [
        (side, start) for side, embeddings in enumerate((before, after)) for start in range(0, len(embeddings), AT_ONCE)
    ]
    for side, start in blocks:
        block = _features((before, after)[side][start : start + AT_ONCE], frequencies) - centre
        drawn = rng.hypergeometric(remaining_new, remaining - remaining_new, len(block))
        sides = rng.permuted(np.arange(len(block)) < drawn[:, None], axis=1)
        sums += sides.astype(np.float32) @ block
        block_sum = block.sum(axis=0, dtype=np.float64)
        total += block_sum
        observed += side * block_sum
        remaining, remaining_new = remaining - len(block), remaining_new - drawn
    scale = 1 / new + 1 / (rows - new)  # all features are centred: the other side's sum is the opposite
    distances = ((np.vstack([observed, sums]) - new * total / rows) ** 2).sum(axis=1) * scale**2 / frequencies.shape[1]
    return float(distances[0]), distances[1:]


def _sample_pooled(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sample of the pooled sides: the kernel's width must not depend on which side a row is on."""
    chosen = sample_rows(np.arange(len(before) + len(after)), WIDTH_ROWS, rng)
    old, new = chosen[chosen < len(before)], chosen[chosen >= len(before)] - len(before)
    return np.concatenate([before[old], after[new]])


def _features(rows: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return the unscaled random Fourier features of rows."""
    angles = rows @ frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def _median_distance(rows: np.ndarray) -> float:
    """Return the median squared distance between distinct rows; 0 if all rows are equal."""
    rows = (rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    pairs = distances[np.triu_indices(len(rows), k=1)]
    distinct = pairs[pairs > 1e-6 * max(float(squares.max()), 1e-30)]
    return float(np.median(distinct)) if distinct.size else 0.0
