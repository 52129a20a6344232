"""Sums over rows that closed forms need: independent of the order of rows, and rows can be removed again.

Sums over weighted rows are floating-point numbers: exact for integer weights, else up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from cl.models.integer_products import multiplies_integers_exactly

Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Integer features (rows, F), targets, and how often each row counts (rows,); None: once.

Targets are classes (rows,) or, where a row may have any number of them, (rows, C) with 1 for those it has.
"""
BLOCK = 1_024
"""Rows in one product: 1,024 * 127 * 127 is below 2^24, so float32 sums integers exactly."""
INTEGER_BLOCK = 65_536
"""Rows in one product of int8, whose sums are below 2^31."""
PANEL = 1_000
"""Columns of a symmetric product that are computed at once; what lies below its diagonal is not computed."""
INT32_ROWS = 2**31 // 127**2
"""Rows whose products are sure to add up to an int32."""
GRAM, SEEN = "gram", "seen"
"""Names of the stored Gram matrix, and of the stored number of rows."""


def indicators(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Return 1 for each class that a row has and 0 for the others (rows, classes), in float64.

    Targets are as in `Rows`; classes that were added after the targets were made are 0.
    """
    if targets.ndim == 1:
        return torch.nn.functional.one_hot(targets, classes).double()
    return torch.nn.functional.pad(targets.clamp(min=0).double(), (0, classes - targets.shape[1]))


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over features x (integers, size F) and targets y < C, all exact.

    ``counts`` (C) and ``sums`` (C, F), both int64: rows of each class, and the sum of x over them. ``gram`` (F, F): the
    sum of x x^T over all rows, in int32 while that suffices, then in int64; only its upper triangle is kept, and
    `products` completes it; None where nothing needs it. ``seen`` (): how many rows there are, where each may have any
    number of classes; None: each has one, so that the counts say it. Once a weighted row has been added, all are
    float64 and each row counts as often as its weight says.
    """

    counts: torch.Tensor
    sums: torch.Tensor
    gram: torch.Tensor | None = None
    seen: torch.Tensor | None = None

    @classmethod
    def empty(cls, features: int, classes: int, *, gram: bool = True, several: bool = False) -> SufficientStatistics:
        """Return the statistics of no rows, with or without a Gram matrix.

        With ``several``, a row may have any number of classes.
        """
        return cls(
            torch.zeros(classes, dtype=torch.int64),
            torch.zeros(classes, features, dtype=torch.int64),
            torch.zeros(features, features, dtype=torch.int32) if gram else None,
            torch.zeros((), dtype=torch.int64) if several else None,
        )

    def without_rows(self, *, gram: bool) -> SufficientStatistics:
        """Return the statistics of no rows for the same features and classes."""
        classes, features = self.sums.shape
        return self.empty(features, classes, gram=gram, several=self.has_several)

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> SufficientStatistics:
        """Return the statistics that `to_tensors` stored."""
        gram = _unpack(tensors[GRAM], tensors["sums"].shape[1]) if GRAM in tensors else None
        counts, sums = tensors["counts"], tensors["sums"]
        kind = torch.float64 if counts.is_floating_point() else torch.int64
        return cls(counts.to(kind), sums.to(kind), gram, tensors[SEEN].to(kind) if SEEN in tensors else None)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums for storage: the upper triangle of the Gram matrix, and int32 where it suffices.

        Weighted sums stay in float64.
        """
        parts = {"counts": self.counts, "sums": self.sums} | ({} if self.seen is None else {SEEN: self.seen})
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
            targets: as in `Rows`.
            weights: how often each row counts (rows,); None: once.
        """
        return self.add_blocks([(features, targets, weights)], is_weighted=weights is not None, sign=sign)

    def add_blocks(
        self, blocks: Iterable[Rows], *, is_weighted: bool, sign: int = 1, device: torch.device | None = None
    ) -> SufficientStatistics:
        """Return the sums with blocks of rows added or removed, as `add` does, without a copy for each block.

        Args:
            blocks: features, targets and weights of some rows each.
            is_weighted: whether they have weights.
            sign: -1 removes the rows.
            device: where integer products are summed; the sums are returned on the CPU. None: the CPU.
        """
        in_floats = self.is_weighted or is_weighted
        kind = torch.float64 if in_floats else torch.int64
        seen = None if self.seen is None else self.seen.to(kind, copy=True)
        total = replace(self, counts=self.counts.to(kind, copy=True), sums=self.sums.to(kind, copy=True), seen=seen)
        if total.gram is not None:
            kind = torch.float64 if in_floats else total.gram.dtype
            copied = total.gram.to(None if in_floats else device, kind, copy=True)
            total = replace(total, gram=copied)
        for features, targets, weights in blocks:
            if in_floats:
                once = torch.ones(len(targets), dtype=torch.float64)
                total._add_weighted(features.float(), targets, sign * (once if weights is None else weights.double()))
            else:
                total = total._with_room_for(len(targets))
                total._add_integers(features, targets, sign)
        return total if total.gram is None else replace(total, gram=total.gram.cpu())

    def _with_room_for(self, rows: int) -> SufficientStatistics:
        """Return the same sums, whose Gram matrix holds so many rows more."""
        if self.gram is None or self.gram.dtype != torch.int32 or self.rows + rows < INT32_ROWS:
            return self
        return replace(self, gram=self.gram.long())

    def _add_integers(self, features: torch.Tensor, targets: torch.Tensor, sign: int) -> None:
        """Add rows in place."""
        if self.seen is not None:
            self.seen.add_(sign * len(targets))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            rows, classes = _members(features[block].float(), targets[block])
            self.counts.index_add_(0, classes, torch.full_like(classes, sign))
            present, indices = classes.unique(return_inverse=True)
            partial = torch.zeros(len(present), features.shape[1]).index_add_(0, indices, rows)
            self.sums[present] += sign * partial.long()
        if self.gram is not None:
            _add_products(self.gram, features, sign)

    def _add_weighted(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        if self.seen is not None:
            self.seen.add_(weights.sum())
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            exact = features[block].double()
            weighted = weights[block, None] * exact
            rows, classes = _members(weighted, targets[block])
            self.counts.index_add_(0, classes, _members(weights[block], targets[block])[0])
            self.sums.index_add_(0, classes, rows)
            if self.gram is not None:
                self.gram.add_(exact.T @ weighted)

    @property
    def is_weighted(self) -> bool:
        """Return whether a row with a weight of its own has been added."""
        return self.counts.is_floating_point()

    @property
    def rows(self) -> float:
        """Return how many rows the sums are over: an integer, unless weights say how often each counts."""
        total = self.counts.sum() if self.seen is None else self.seen
        return float(total) if self.is_weighted else int(total)

    @property
    def memberships(self) -> float:
        """Return how many pairs of a row and a class that it has the sums are over: their rows, if each has one."""
        return float(self.counts.sum())

    @property
    def has_several(self) -> bool:
        """Return whether a row may have any number of classes."""
        return self.seen is not None

    @property
    def means(self) -> torch.Tensor:
        """The mean of x over the rows of each class (C, F), in float64; 0 for a class without rows."""
        return self.sums.double() / torch.where(self.counts == 0, 1, self.counts).double()[:, None]

    @property
    def products(self) -> torch.Tensor:
        """The whole Gram matrix (F, F) in float64, where it is known to be there; computed each time."""
        assert self.gram is not None
        return _complete(self.gram)


def _members(values: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values of rows (rows, ...) and their classes, a row once for each class that it has."""
    if targets.ndim == 1:
        return values, targets
    rows, classes = (targets > 0).nonzero(as_tuple=True)
    return values[rows], classes


def _add_products(gram: torch.Tensor, features: torch.Tensor, sign: int) -> None:
    """Add the products of integer features to the upper triangle of a matrix, panel by panel."""
    exact = gram.device.type == "cpu" and multiplies_integers_exactly()
    rows, kind = (INTEGER_BLOCK, torch.int8) if exact else (BLOCK, torch.float32)
    for start in range(0, len(features), rows):
        block = features[start : start + rows].to(gram.device, kind)
        for panel in range(0, block.shape[1], PANEL):
            left, right = block[:, panel : panel + PANEL].T.contiguous(), block[:, panel:].contiguous()
            product = torch._int_mm(left, right) if exact else (left @ right).to(gram.dtype)
            gram[panel : panel + PANEL, panel:].add_(product, alpha=sign)


def _complete(upper: torch.Tensor) -> torch.Tensor:
    """Return the symmetric matrix in float64 whose upper triangle this is, panel by panel."""
    whole = torch.empty(upper.shape, dtype=torch.float64)
    for panel in range(0, len(upper), PANEL):
        own, rest = slice(panel, panel + PANEL), slice(panel + PANEL, None)
        corner = upper[own, own].double()
        whole[own, own] = corner.triu() + corner.triu(1).T
        whole[own, rest] = upper[own, rest]
        whole[rest, own] = whole[own, rest].T
    return whole


def _unpack(triangle: torch.Tensor, size: int) -> torch.Tensor:
    """Return the matrix (size, size) with this upper triangle, and zeros below it."""
    upper, start = torch.zeros(size, size, dtype=triangle.dtype), 0
    for index, row in enumerate(upper):
        row[index:] = triangle[start : start + size - index]
        start += size - index
    return upper


def _narrow(sums: torch.Tensor) -> torch.Tensor:
    if sums.dtype == torch.int32:
        return sums
    fits = not sums.numel() or int(sums.abs().max()) < 2**31
    return sums.to(torch.int32 if fits else torch.int64)
