"""Sums over rows that closed forms need: independent of the order of rows, and rows can be removed again.

Sums over weighted rows are floating-point numbers: exact for integer weights, else up to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Integer features (rows, F), classes (rows,), and how often each row counts (rows,); None: once."""
BLOCK = 1_024
"""Rows in one product: 1,024 * 127 * 127 is below 2^24, so float32 sums integers exactly."""
INTEGER_BLOCK = 65_536
"""Rows in one product of int8, whose sums are below 2^31."""
PANEL = 1_000
"""Columns of a symmetric product that are computed at once; what lies below its diagonal is not computed."""
GRAM = "gram"
"""Name of the stored Gram matrix."""


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over features x (integers, size F) and targets y < C, all exact.

    ``counts`` (C) and ``sums`` (C, F), both int64: rows of each class, and the sum of x over them. ``gram`` (F, F):
    the sum of x x^T over all rows, in float64, which holds integers below 2^53; None where nothing needs it. Once a
    weighted row has been added, all are float64 and each row counts as often as its weight says.
    """

    counts: torch.Tensor
    sums: torch.Tensor
    gram: torch.Tensor | None = None

    @classmethod
    def empty(cls, features: int, classes: int, *, gram: bool = True) -> SufficientStatistics:
        """Return the statistics of no rows, with or without a Gram matrix."""
        return cls(
            torch.zeros(classes, dtype=torch.int64),
            torch.zeros(classes, features, dtype=torch.int64),
            torch.zeros(features, features, dtype=torch.float64) if gram else None,
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> SufficientStatistics:
        """Return the statistics that `to_tensors` stored."""
        gram = _unpack(tensors[GRAM], tensors["sums"].shape[1]) if GRAM in tensors else None
        counts, sums = tensors["counts"], tensors["sums"]
        kind = torch.float64 if counts.is_floating_point() else torch.int64
        return cls(counts.to(kind), sums.to(kind), gram)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums for storage: the upper triangle of the Gram matrix, and int32 where it suffices.

        Weighted sums stay in float64.
        """
        parts = {"counts": self.counts, "sums": self.sums}
        if self.gram is not None:
            parts[GRAM] = torch.cat([row[index:] for index, row in enumerate(self.gram)])
        return parts if self.is_weighted else {name: _narrow(part) for name, part in parts.items()}

    def widened(self, classes: int) -> SufficientStatistics:
        """Return the same sums with room for more classes."""
        more = classes - len(self.counts)
        if more <= 0:
            return self
        return replace(
            self,
            counts=torch.cat([self.counts, self.counts.new_zeros(more)]),
            sums=torch.cat([self.sums, self.sums.new_zeros(more, self.sums.shape[1])]),
        )

    def add(
        self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None, *, sign: int = 1
    ) -> SufficientStatistics:
        """Return the sums with these rows added, or removed with ``sign=-1``.

        Args:
            features: integers (rows, F) in float32, at most 127 in absolute value.
            targets: classes (rows,).
            weights: how often each row counts (rows,); None: once.
        """
        return self.add_blocks([(features, targets, weights)], is_weighted=weights is not None, sign=sign)

    def add_blocks(self, blocks: Iterable[Rows], *, is_weighted: bool, sign: int = 1) -> SufficientStatistics:
        """Return the sums with blocks of rows added or removed, as `add` does, without a copy for each block.

        Args:
            blocks: features, targets and weights of some rows each.
            is_weighted: whether they have weights.
            sign: -1 removes the rows.
        """
        in_floats = self.is_weighted or is_weighted
        kind = torch.float64 if in_floats else torch.int64
        total = SufficientStatistics(
            self.counts.to(kind, copy=True),
            self.sums.to(kind, copy=True),
            None if self.gram is None else self.gram.clone(),
        )
        for features, targets, weights in blocks:
            if in_floats:
                once = torch.ones(len(targets), dtype=torch.float64)
                total._add_weighted(features, targets, sign * (once if weights is None else weights.double()))
            else:
                total._add_integers(features, targets, sign)
        if total.gram is not None and not in_floats:
            _mirror(total.gram)
        return total

    def _add_integers(self, features: torch.Tensor, targets: torch.Tensor, sign: int) -> None:
        """Add rows in place, to the upper triangle of the Gram matrix alone."""
        self.counts.index_add_(0, targets, torch.full_like(targets, sign))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            present, indices = targets[block].unique(return_inverse=True)
            partial = features.new_zeros(len(present), features.shape[1]).index_add_(0, indices, features[block])
            self.sums[present] += sign * partial.long()
        if self.gram is not None:
            _add_products(self.gram, features, sign)

    def _add_weighted(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        self.counts.index_add_(0, targets, weights)
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            exact = features[block].double()
            weighted = weights[block, None] * exact
            self.sums.index_add_(0, targets[block], weighted)
            if self.gram is not None:
                self.gram.add_(exact.T @ weighted)

    @property
    def is_weighted(self) -> bool:
        """Return whether a row with a weight of its own has been added."""
        return self.counts.is_floating_point()

    @property
    def rows(self) -> float:
        """Return how many rows the sums are over: an integer, unless weights say how often each counts."""
        total = self.counts.sum()
        return float(total) if self.is_weighted else int(total)

    @property
    def means(self) -> torch.Tensor:
        """The mean of x over the rows of each class (C, F), in float64; 0 for a class without rows."""
        return self.sums.double() / torch.where(self.counts == 0, 1, self.counts).double()[:, None]

    @property
    def products(self) -> torch.Tensor:
        """The Gram matrix, where it is known to be there."""
        assert self.gram is not None
        return self.gram


def _add_products(gram: torch.Tensor, features: torch.Tensor, sign: int) -> None:
    """Add the products of integer features to the upper triangle of a matrix, panel by panel."""
    rows = INTEGER_BLOCK if multiplies_integers_exactly() else BLOCK
    for start in range(0, len(features), rows):
        block = features[start : start + rows]
        if multiplies_integers_exactly():
            block = block.to(torch.int8)
        for panel in range(0, block.shape[1], PANEL):
            left, right = block[:, panel : panel + PANEL].T.contiguous(), block[:, panel:].contiguous()
            product = torch._int_mm(left, right) if block.dtype == torch.int8 else left @ right
            gram[panel : panel + PANEL, panel:].add_(product, alpha=sign)


def _mirror(gram: torch.Tensor) -> None:
    """Copy the upper triangle of a matrix to the lower one, panel by panel."""
    for panel in range(0, len(gram), PANEL):
        own = slice(panel, panel + PANEL)
        gram[own, own] = gram[own, own].triu() + gram[own, own].triu(1).T
        gram[panel + PANEL :, own] = gram[own, panel + PANEL :].T


@functools.cache
def multiplies_integers_exactly() -> bool:
    """Return whether this processor's product of int8 matrices is exact, six times as fast as one of float32.

    On some without instructions for it, the library adds pairs of products in 16 bits, which saturate.
    """
    extremes = torch.tensor([127, -127], dtype=torch.int8)
    rows = extremes[torch.randint(0, 2, (256, 64), generator=torch.Generator().manual_seed(0))]
    rows[:128] = 127
    left = rows.T.contiguous()
    try:
        product = torch._int_mm(left, rows)
    except RuntimeError:
        return False
    return torch.equal(product.float(), left.float() @ rows.float())


def _unpack(triangle: torch.Tensor, size: int) -> torch.Tensor:
    """Return the symmetric matrix (size, size) with this upper triangle."""
    gram, start = torch.zeros(size, size, dtype=torch.float64), 0
    for index, row in enumerate(gram):
        row[index:] = triangle[start : start + size - index]
        start += size - index
    gram += gram.triu(1).T
    return gram


def _narrow(sums: torch.Tensor) -> torch.Tensor:
    fits = not sums.numel() or int(sums.abs().max()) < 2**31
    return sums.to(torch.int32 if fits else torch.int64)
