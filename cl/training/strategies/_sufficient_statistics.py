"""Sums over rows that closed forms need: independent of the order of rows, and rows can be removed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

BLOCK = 1_024
"""Rows in one product: 1,024 * 127 * 127 is below 2^24, so float32 sums integers exactly."""


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over features x (integers, size F) and targets y < C, exact in int64.

    ``counts`` (C): rows of each class; ``sums`` (C, F): sum of x over them; ``gram`` (F, F): sum of x x^T over all.
    """

    counts: torch.Tensor
    sums: torch.Tensor
    gram: torch.Tensor

    @classmethod
    def empty(cls, features: int, classes: int) -> SufficientStatistics:
        """Return the statistics of no rows."""
        dtype = torch.int64
        return cls(
            torch.zeros(classes, dtype=dtype),
            torch.zeros(classes, features, dtype=dtype),
            torch.zeros(features, features, dtype=dtype),
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> SufficientStatistics:
        """Return the statistics that `to_tensors` stored."""
        size = tensors["sums"].shape[1]
        upper = torch.triu_indices(size, size)
        gram = torch.zeros(size, size, dtype=torch.int64)
        gram[upper[0], upper[1]] = tensors["gram"].long()
        gram += gram.triu(1).T
        return cls(tensors["counts"].long(), tensors["sums"].long(), gram)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums for storage: the upper triangle of the Gram matrix, in int32 where it suffices."""
        upper = torch.triu_indices(*self.gram.shape)
        parts = {"counts": self.counts, "sums": self.sums, "gram": self.gram[upper[0], upper[1]]}
        return {name: _narrow(part) for name, part in parts.items()}

    def widened(self, classes: int) -> SufficientStatistics:
        """Return the same sums with room for more classes."""
        more = classes - len(self.counts)
        if more <= 0:
            return self
        return SufficientStatistics(
            torch.cat([self.counts, self.counts.new_zeros(more)]),
            torch.cat([self.sums, self.sums.new_zeros(more, self.sums.shape[1])]),
            self.gram,
        )

    def add(self, features: torch.Tensor, targets: torch.Tensor, *, sign: int = 1) -> SufficientStatistics:
        """Return the sums with these rows added, or removed with ``sign=-1``.

        Args:
            features: integers (rows, F) in float32, at most 127 in absolute value.
            targets: classes (rows,).
        """
        counts, sums, gram = self.counts.clone(), self.sums.clone(), self.gram.clone()
        counts.index_add_(0, targets, torch.full_like(targets, sign))
        for block, classes in _split_into_blocks(features, targets):
            sums.index_add_(0, classes, sign * block.long())
            gram.add_((block.T @ block).long(), alpha=sign)
        return SufficientStatistics(counts, sums, gram)

    @property
    def rows(self) -> int:
        """Return how many rows the sums are over."""
        return int(self.counts.sum())


def _split_into_blocks(features: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, len(features), BLOCK):
        yield features[start : start + BLOCK], targets[start : start + BLOCK]


def _narrow(sums: torch.Tensor) -> torch.Tensor:
    fits = not sums.numel() or int(sums.abs().max()) < 2**31
    return sums.to(torch.int32) if fits else sums
