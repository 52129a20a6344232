"""Batches of rows of like length, padded only to the longest of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cl.tasks import Encoded, Task

POOL = 32


@dataclass(frozen=True)
class Batch:
    """One padded batch: ``input_ids`` and ``mask`` are (rows, length)."""

    input_ids: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    rows: list[int]


def shuffle(lengths: list[int], batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the indices of each batch of an epoch, in random order, rows of like length together.

    Rows are shuffled, sorted by length within pools of 32 batches, and the batches shuffled again: chance stays in,
    and most of the padding goes.
    """
    order = rng.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), batch_size * POOL):
        pool = sorted(order[start : start + batch_size * POOL], key=lambda row: lengths[row])
        batches += [[int(row) for row in pool[at : at + batch_size]] for at in range(0, len(pool), batch_size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def batch_by_length(lengths: list[int], batch_size: int) -> list[list[int]]:
    """Return the indices of each batch, shortest rows first: for inference, where order has no meaning."""
    order = [int(row) for row in np.argsort(lengths, kind="stable")]
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def collate(task: Task, encoded: list[Encoded], rows: list[int], pad_id: int, device: torch.device) -> Batch:
    """Pad the chosen rows to their longest and move them to the device."""
    chosen = [encoded[row] for row in rows]
    length = max(len(one.input_ids) for one in chosen)
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for at, one in enumerate(chosen):
        ids[at, : len(one.input_ids)] = torch.tensor(one.input_ids)
        mask[at, : len(one.input_ids)] = 1
    return Batch(ids.to(device), mask.to(device), task.targets(chosen, length).to(device), rows)
