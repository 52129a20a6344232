"""Updates of low rank, ``up @ down``: what LoRA adds to the weights of a layer, added up and shortened.

``up`` is (width out, rank), with LoRA's scale in it; ``down`` is (rank, width in).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Factors = tuple[torch.Tensor, torch.Tensor]

SPARE = 8
"""Directions that a randomised decomposition looks at beyond those that it returns (Halko et al., 2011)."""
PASSES = 6
"""Times that it multiplies by the matrix, which brings its directions close to the exact ones."""


def add_up(updates: Iterable[Factors]) -> Factors:
    """Return factors of the sum of updates, one below the other: exact, and of the sum of their ranks."""
    import torch

    ups, downs = zip(*updates, strict=True)
    return torch.cat(ups, dim=1), torch.cat(downs)


def shorten(update: Factors, rank: int) -> Factors:
    """Return the nearest update of at most a rank, by least squares (Eckart and Young, 1936); exact in float64.

    The rows of its ``down`` have length 1 and are orthogonal.
    """
    import torch

    up, down = (part.detach().double() for part in update)
    left, first = torch.linalg.qr(up)
    right, second = torch.linalg.qr(down.T)
    inner, lengths, outer = torch.linalg.svd(first @ second.T, full_matrices=False)
    kept = min(rank, len(lengths))
    ups, downs = left @ (inner[:, :kept] * lengths[:kept]), outer[:kept] @ right.T
    return ups.to(update[0].dtype), downs.to(update[1].dtype)


def factor(matrix: torch.Tensor, rank: int) -> Factors:
    """Return factors of a matrix (width out, width in), of at most a rank: nearly the nearest, as `shorten` has them.

    The decomposition is randomised (Halko et al., 2011, algorithm 4.4), always from the same seed: an exact one of a
    wide layer takes a hundred times as long.
    """
    import torch

    size = min(matrix.shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        left, lengths, right = torch.svd_lowrank(matrix.detach(), q=min(rank + SPARE, size), niter=PASSES)
    kept = min(rank, size)
    return left[:, :kept] * lengths[:kept], right[:, :kept].T.contiguous()


def squared_length(update: Factors) -> float:
    """Return the sum of the squares of all entries of an update, without making it."""
    up, down = (part.detach().double() for part in update)
    return float(((up.T @ up) * (down @ down.T)).sum())


def lost_share(whole: Mapping[str, float], kept: Mapping[str, Factors]) -> float:
    """Return which share of the squared length of all layers' updates was lost when they were shortened, 0 to 1.

    Args:
        whole: the squared length of each layer's update before.
        kept: its nearest factors: what is lost is orthogonal to them.
    """
    before = sum(whole.values())
    after = sum(squared_length(update) for update in kept.values())
    return max(0.0, 1 - after / before) if before else 0.0


def padded(updates: Sequence[Factors], rank: int) -> list[Factors]:
    """Return updates that all have a rank, those of a lower one with zeros."""
    from torch.nn.functional import pad

    return [(pad(up, (0, rank - up.shape[1])), pad(down, (0, 0, 0, rank - len(down)))) for up, down in updates]
