"""Batch rows of similar length, padded only to the longest row of the batch."""

from __future__ import annotations

import numpy as np
import torch

from cl.tasks import Batch, Encoded, Task

POOL = 64
"""Batches whose rows are sorted by length together."""


def shuffled_batches(
    lengths: list[int], batch_size: int, rng: np.random.Generator, *, tokens: int | None = None
) -> list[list[int]]:
    """Return the indices of each batch of an epoch, in random order, rows of similar length together.

    Rows are shuffled, sorted by length within pools of 64 batches, and the batches are shuffled again: the order stays
    random, and most of the padding goes.

    Args:
        lengths: of the rows, in tokens.
        batch_size: rows of a batch.
        rng: draws the order.
        tokens: that a batch has at most, if it has more than one row, in place of ``batch_size`` rows.
    """
    order = rng.permutation(len(lengths))
    usual = batch_size if tokens is None else max(1, tokens * len(lengths) // max(1, sum(lengths)))
    batches: list[list[int]] = []
    for start in range(0, len(order), usual * POOL):
        pool = sorted((int(row) for row in order[start : start + usual * POOL]), key=lambda row: lengths[row])
        if tokens is None:
            batches += [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        else:
            batches += cut_by_cost(pool, lengths, tokens)
    return [batches[index] for index in rng.permutation(len(batches))]


def batch_by_length(lengths: list[int], batch_size: int) -> list[list[int]]:
    """Return the indices of each batch, shortest rows first: for inference, where order does not matter."""
    order = [int(row) for row in np.argsort(lengths, kind="stable")]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batch_by_cost(lengths: list[int], costs: list[int], most: int) -> list[list[int]]:
    """Return the indices of each batch as `batch_by_length` does: a batch costs ``most`` at most, or has one row."""
    return cut_by_cost([int(row) for row in np.argsort(lengths, kind="stable")], costs, most)


def cut_by_cost(rows: list[int], costs: list[int], most: int) -> list[list[int]]:
    """Return rows in batches, in their order: a batch costs ``most`` at most, or has one row."""
    batches, total = [list[int]()], 0
    for row in rows:
        if batches[-1] and total + costs[row] > most:
            batches, total = [*batches, []], 0
        batches[-1].append(row)
        total += costs[row]
    return [batch for batch in batches if batch]


def collate(
    task: Task,
    encoded: list[Encoded],
    rows: list[int],
    pad_id: int,
    device: torch.device,
    *,
    weights: np.ndarray | None = None,
) -> Batch:
    """Pad the chosen rows to the longest of them and move them to the device; ``weights`` are those of all rows."""
    chosen = [encoded[row] for row in rows]
    length = max(len(row.input_ids) for row in chosen)
    ids = torch.tensor([row.input_ids + [pad_id] * (length - len(row.input_ids)) for row in chosen], dtype=torch.long)
    lengths = torch.tensor([len(row.input_ids) for row in chosen])
    mask = (torch.arange(length) < lengths.unsqueeze(1)).long()
    own = None if weights is None else torch.tensor(weights[rows], dtype=torch.float32, device=device)
    extras = {name: tensor.to(device) for name, tensor in task.extras(chosen, length).items()}
    return Batch(ids.to(device), mask.to(device), task.targets(chosen, length).to(device), rows, own, extras)
