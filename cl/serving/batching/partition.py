"""Choose the rows of a batch: as many as the time budget allows, of similar length where a batch is padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BATCH_COST = 64
"""Fixed cost of a batch, in tokens: calling the layers takes as long as computing this many."""


@dataclass(frozen=True)
class NextBatch:
    """The indices of the rows to compute next, and their cost in tokens, padding and `BATCH_COST` included."""

    rows: list[int]
    tokens: int


def next_batch(lengths: list[int], budget: int, *, padded: bool = True) -> NextBatch:
    """Return the rows of the next batch; it includes the first row, which has waited longest.

    It takes rows in order up to ``budget`` tokens, but at least the first. A padded batch takes them from the part of
    similar length that holds the first row: rows are partitioned to minimise padded tokens plus `BATCH_COST` for each
    batch. Without padding it takes every row that fits.
    """
    if not padded:
        return _fill(lengths, budget)
    part = next(part for part in partition_by_length(lengths) if 0 in part)
    longest = max(lengths[row] for row in part)
    if longest * len(part) <= budget:
        return NextBatch(part, BATCH_COST + longest * len(part))
    chosen: list[int] = []
    longest = 0
    for row in part:
        longer = max(longest, lengths[row])
        if chosen and longer * (len(chosen) + 1) > budget:
            break
        longest = longer
        chosen.append(row)
    return NextBatch(chosen, BATCH_COST + longest * len(chosen))


def _fill(lengths: list[int], budget: int) -> NextBatch:
    chosen, tokens = [0], lengths[0]
    for row in range(1, len(lengths)):
        if tokens + lengths[row] <= budget:
            chosen.append(row)
            tokens += lengths[row]
    return NextBatch(chosen, BATCH_COST + tokens)


def partition_by_length(lengths: list[int]) -> list[list[int]]:
    """Return the cheapest partition of rows by length, each part in the rows' order.

    Each part is contiguous in the rows sorted by length; dynamic programming finds the cuts.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = np.asarray(lengths)[order]
    if len(order) * int(ordered[-1] - ordered[0]) <= BATCH_COST:
        return [sorted(order.tolist())]
    cost, cut = np.zeros(len(order) + 1), np.zeros(len(order) + 1, dtype=int)
    for end in range(1, len(order) + 1):
        starts = np.arange(end)
        whole = cost[:end] + BATCH_COST + (end - starts) * ordered[end - 1]
        cut[end] = int(whole.argmin())
        cost[end] = whole[cut[end]]
    parts, end = [], len(order)
    while end:
        parts.append(sorted(order[cut[end] : end].tolist()))
        end = int(cut[end])
    return parts
