"""Choose the rows of a batch: rows of similar length, as many as the time budget allows."""

from __future__ import annotations

import numpy as np

BATCH_COST = 64
"""Fixed cost of a batch, in tokens: calling the layers takes as long as computing this many."""


def next_batch(lengths: list[int], budget: int) -> list[int]:
    """Return the indices of the rows of the next batch; it includes the first row, which has waited longest.

    Rows are partitioned by length to minimise padded tokens plus `BATCH_COST` for each batch. The batch takes rows in
    order from the part that holds the first row, up to ``budget`` padded tokens, but at least the first row.
    """
    part = next(part for part in partition_by_length(lengths) if 0 in part)
    longest = max(lengths[row] for row in part)
    if longest * len(part) <= budget:
        return part
    chosen: list[int] = []
    longest = 0
    for row in part:
        longest = max(longest, lengths[row])
        if chosen and longest * (len(chosen) + 1) > budget:
            break
        chosen.append(row)
    return chosen


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
