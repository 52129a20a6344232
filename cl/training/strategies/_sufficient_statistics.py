"""Sums over rows that closed-form learners need: they add up in any order, and rows can be taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

BLOCK = 1_024
"""Rows in one product: 1,024 * 127 * 127 is below 2^24, so that float32 adds whole numbers without loss."""


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over features x (whole numbers, size F) and targets y < C, exact in int64.

    ``counts`` (C): rows of each class; ``sums`` (C, F): sum of x over them; ``gram`` (F, F): sum of x x^T over all.
    """

    counts: torch.Tensor
    sums: torch.Tensor
    gram: torch.Tensor

    @classmethod
    def empty(cls, features: int, classes: int) -> SufficientStatistics:
        """Return the statistics of no rows."""
        whole = torch.int64
        return cls(
            torch.zeros(classes, dtype=whole),
            torch.zeros(classes, features, dtype=whole),
            torch.zeros(features, features, dtype=whole),
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> SufficientStatistics:
        """Read what `to_tensors` gave."""
        size = tensors["sums"].shape[1]
        upper = torch.triu_indices(size, size)
        gram = torch.zeros(size, size, dtype=torch.int64)
        gram[upper[0], upper[1]] = tensors["gram"].long()
        gram += gram.triu(1).T
        return cls(tensors["counts"].long(), tensors["sums"].long(), gram)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums for storage: the upper half of the gram matrix, in 32 bits where they are enough."""
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
        """Return the sums with these rows in them, or with ``sign=-1`` without them.

        Args:
            features: whole numbers (rows, F) in float32, none beyond 127.
            targets: classes (rows,).
        """
        counts, sums, gram = self.counts.clone(), self.sums.clone(), self.gram.clone()
        counts.index_add_(0, targets, torch.full_like(targets, sign))
        for block, of in _blocks(features, targets):
            sums.index_add_(0, of, sign * block.long())
            gram.add_((block.T @ block).long(), alpha=sign)
        return SufficientStatistics(counts, sums, gram)

    @property
    def rows(self) -> int:
        """Rows that the sums are over."""
        return int(self.counts.sum())


def _blocks(features: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, len(features), BLOCK):
        yield features[start : start + BLOCK], targets[start : start + BLOCK]


def _narrow(whole: torch.Tensor) -> torch.Tensor:
    fits = not whole.numel() or int(whole.abs().max()) < 2**31
    return whole.to(torch.int32) if fits else whole
