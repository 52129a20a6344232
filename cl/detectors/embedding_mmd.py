"""Whether the texts lie elsewhere in the champion's space of embeddings."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cl.detectors import Detector, Snapshot
from cl.evidence import monte_carlo_p, shown, too_few
from cl.records import Finding


class EmbeddingMmd(Detector):
    """Maximum mean discrepancy with a Gaussian kernel, p by permutation (Gretton et al., 2012).

    The unbiased estimate, with the median of all distances as the kernel's width. The kernel matrix is made
    once; all permutations are one matrix product. Other labels in the mix move the embeddings, too.
    """

    permutations: int = Field(999, ge=99, description="Permutations at least; more where a small alpha needs them")
    max_rows: int = Field(1_000, ge=20, description="Rows of each side that are compared, drawn at random")
    min_rows: int = Field(20, ge=2, description="Rows that each side needs")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        has = min(len(reference.embeddings), len(new.embeddings))
        if has < self.min_rows:
            return too_few(self.name, "inputs", needs=self.min_rows, has=has)
        rng = np.random.default_rng(seed)
        before, after = (_sample(one.embeddings, self.max_rows, rng) for one in (reference, new))
        kernel = _kernel(np.concatenate([before, after]))
        if kernel is None:
            return too_few(self.name, "inputs", needs=2, has=1, what="different rows")
        rounds = max(self.permutations, int(np.ceil(10 / alpha)))
        side = np.repeat(np.array([0, 1], dtype=np.float32), [len(before), len(after)])
        drawn = rng.permuted(np.tile(side, (rounds, 1)), axis=1)
        statistic = float(_discrepancies(kernel, side[None, :])[0])
        p_value = monte_carlo_p(statistic, _discrepancies(kernel, drawn))
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=statistic,
            summary=f"embeddings of {len(after)} rows beside {len(before)} of the reference: "
            f"MMD² {statistic:.4f} ({shown(p_value)})",
        )


def _sample(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _kernel(rows: np.ndarray) -> np.ndarray | None:
    """Return the kernel matrix less its mean, diagonal zero; None where the rows are all the same.

    A constant taken off every pair leaves the unbiased estimate as it is and keeps float32 sums exact enough.
    """
    rows = (rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0)
    above = distances[np.triu_indices(len(rows), k=1)]
    far = above[above > 1e-6 * max(float(squares.max()), 1e-30)]
    if not far.size:
        return None
    kernel = np.exp(distances / np.float32(-np.median(far)))
    np.fill_diagonal(kernel, 0)
    kernel -= kernel.sum(dtype=np.float64) / (kernel.size - len(kernel))
    np.fill_diagonal(kernel, 0)
    return kernel


def _discrepancies(kernel: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the unbiased MMD² for each row of sides (0: reference, 1: new)."""
    after = int(sides[0].sum())
    before = sides.shape[1] - after
    pull = sides @ kernel
    inside = (pull * sides).sum(axis=1, dtype=np.float64)
    across = pull.sum(axis=1, dtype=np.float64) - inside
    outside = kernel.sum(dtype=np.float64) - inside - 2 * across
    return outside / (before * (before - 1)) + inside / (after * (after - 1)) - 2 * across / (before * after)
