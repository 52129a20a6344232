"""Which rows are computed together: those of like length, as many as the time of a batch allows."""

from __future__ import annotations

import numpy as np

BATCH_COST = 64
"""What a batch costs beside its tokens, in tokens: calling the layers takes as long as computing so many."""


def next_batch(lengths: list[int], budget: int) -> list[int]:
    """Return the places of the rows of the next batch; the first row, which has waited longest, is among them.

    Rows are cut by length such that padded tokens and `BATCH_COST` for each batch are least in all; of the part that
    holds the first row as many are taken, in their order, as ``budget`` padded tokens allow, and the first in any case.
    """
    part = next(part for part in partition_by_length(lengths) if 0 in part)
    longest = max(lengths[row] for row in part)
    if longest * len(part) <= budget:
        return part
    kept: list[int] = []
    longest = 0
    for row in part:
        longest = max(longest, lengths[row])
        if kept and longest * (len(kept) + 1) > budget:
            break
        kept.append(row)
    return kept


def partition_by_length(lengths: list[int]) -> list[list[int]]:
    """Return the cheapest partition of rows by length, each part in the rows' order.

    The cheapest one cuts the rows sorted by length into neighbours; dynamic programming finds where.
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
    found, end = [], len(order)
    while end:
        found.append(sorted(order[cut[end] : end].tolist()))
        end = int(cut[end])
    return found
