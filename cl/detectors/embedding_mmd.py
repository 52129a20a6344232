"""Whether the texts lie elsewhere in the champion's space of embeddings."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cl.detectors import Detector, Snapshot, few, towards
from cl.evidence import shown, simulated_p, too_few
from cl.records import Finding

WIDTH_ROWS = 1_000
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
            return too_few(self.name, "inputs", needs=self.min_rows, has=has)
        rng = np.random.default_rng(seed)
        before, after = (few(one.embeddings, self.max_rows, rng) for one in (reference, new))
        mapped = _mapped(np.concatenate([before, after]), self.features, rng)
        if mapped is None:
            return too_few(self.name, "inputs", needs=2, has=1, what="different rows")
        side = np.repeat(np.array([False, True]), [len(before), len(after)])
        observed = float(_distances(mapped, side[None, :])[0])
        permuted = _distances(mapped, _permutations(side, self.permutations, rng))
        p_value, unbiased = simulated_p(observed, permuted), observed - float(permuted.mean())
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=unbiased,
            summary=f"embeddings of {len(after)} rows beside {len(before)} of the reference: "
            f"MMD² {unbiased:.4f} ({shown(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how far each new row lies where the embeddings went."""
        return towards(reference, new)


def _mapped(rows: np.ndarray, features: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return the random Fourier features of rows, less their mean; None where the rows are all the same."""
    width = _median_distance(few(rows, WIDTH_ROWS, rng))
    if not width:
        return None
    frequencies = (rng.normal(size=(rows.shape[1], features)) / np.sqrt(width / 2)).astype(np.float32)
    mapped = np.empty((len(rows), 2 * features), dtype=np.float32)
    for start in range(0, len(rows), AT_ONCE):
        turned = rows[start : start + AT_ONCE] @ frequencies
        mapped[start : start + AT_ONCE] = np.concatenate([np.cos(turned), np.sin(turned)], axis=1)
    return (mapped - mapped.mean(axis=0, dtype=np.float64).astype(np.float32)) / np.float32(np.sqrt(features))


def _median_distance(rows: np.ndarray) -> float:
    """Return the median of the squared distances between rows that differ; 0 where none do."""
    rows = (rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    above = distances[np.triu_indices(len(rows), k=1)]
    apart = above[above > 1e-6 * max(float(squares.max()), 1e-30)]
    return float(np.median(apart)) if apart.size else 0.0


def _permutations(side: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.tile(side, (rounds, 1)), axis=1)


def _distances(mapped: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the squared distance between the means of both sides, for each row of sides (True: new)."""
    after = int(sides[0].sum())
    before = sides.shape[1] - after
    sums = sides.astype(np.float32) @ mapped  # all features are centred: the other side's sum is the opposite
    return (sums.astype(np.float64) ** 2).sum(axis=1) * (1 / after + 1 / before) ** 2
