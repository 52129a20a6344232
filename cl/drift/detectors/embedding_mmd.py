"""Whether the texts lie elsewhere in the champion's space of embeddings."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cl.drift.detectors import Detector, few_texts, towards_new
from cl.drift.detectors._base import too_few_rows
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value, is_unremarkable, simulated_p

WIDTH_ROWS = 1_000
FIRST = 199
AT_ONCE = 8_192


class EmbeddingMmd(Detector):
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al., 2012), p by permutation.

    The kernel is written as random Fourier features (Rahimi and Recht, 2007, section 3), so that the discrepancy is the
    distance between two means and time grows with the rows, not with their square. The median of all distances is the
    kernel's width. Other labels in the mix move the embeddings, too.
    """

    permutations: int = Field(999, ge=99, description="Permutations; further out, their distribution's curve is used")
    features: int = Field(512, ge=16, description="Random frequencies that stand for the kernel")
    max_rows: int = Field(10_000, ge=20, description="Rows of each side that are compared, drawn at random")
    min_rows: int = Field(20, ge=2, description="Rows that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        has = min(len(reference.embeddings), len(new.embeddings))
        if has < self.min_rows:
            return too_few_rows(self.name, "inputs", needs=self.min_rows, has=has)
        rng = np.random.default_rng(seed)
        before, after = (few_texts(one.embeddings, self.max_rows, rng) for one in (reference, new))
        width = _median_distance(_some(before, after, rng))
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
            summary=f"embeddings of {len(after)} rows beside {len(before)} of the reference: "
            f"MMD² {unbiased:.4f} ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how far each new row lies where the embeddings went."""
        return towards_new(reference, new)


def _discrepancies(
    before: np.ndarray, after: np.ndarray, frequencies: np.ndarray, rounds: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return the squared distance between the means of both sides' features, and of both sides of permutations.

    Rows are gone through once, a block at a time, so that memory does not grow with them: how many rows of a block
    a permutation calls new is hypergeometric in those that are left, and which of them is chance.
    """
    rows, new = len(before) + len(after), len(after)
    centre = _features(few_texts(before, WIDTH_ROWS, rng), frequencies).mean(
        axis=0
    )  # near the mean: sums keep their digits
    left, left_new = rows, np.full(rounds, new)
    total, observed, sums = np.zeros(len(centre)), np.zeros(len(centre)), np.zeros((rounds, len(centre)))
    places = [(side, at) for side, its in enumerate((before, after)) for at in range(0, len(its), AT_ONCE)]
    for side, at in places:
        block = _features((before, after)[side][at : at + AT_ONCE], frequencies) - centre
        drawn = rng.hypergeometric(left_new, left - left_new, len(block))
        sides = rng.permuted(np.arange(len(block)) < drawn[:, None], axis=1)
        sums += sides.astype(np.float32) @ block
        own = block.sum(axis=0, dtype=np.float64)
        total += own
        observed += side * own
        left, left_new = left - len(block), left_new - drawn
    gap = 1 / new + 1 / (rows - new)  # all features are centred: the other side's sum is the opposite
    distances = ((np.vstack([observed, sums]) - new * total / rows) ** 2).sum(axis=1) * gap**2 / frequencies.shape[1]
    return float(distances[0]), distances[1:]


def _some(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sample of both sides as one: what is taken from it must not know which side a row is on."""
    chosen = few_texts(np.arange(len(before) + len(after)), WIDTH_ROWS, rng)
    old, new = chosen[chosen < len(before)], chosen[chosen >= len(before)] - len(before)
    return np.concatenate([before[old], after[new]])


def _features(rows: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return the random Fourier features of rows, before they are scaled."""
    turned = rows @ frequencies
    return np.concatenate([np.cos(turned), np.sin(turned)], axis=1)


def _median_distance(rows: np.ndarray) -> float:
    """Return the median of the squared distances between rows that differ; 0 where none do."""
    rows = (rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    above = distances[np.triu_indices(len(rows), k=1)]
    apart = above[above > 1e-6 * max(float(squares.max()), 1e-30)]
    return float(np.median(apart)) if apart.size else 0.0
