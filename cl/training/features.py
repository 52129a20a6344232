"""Frozen features of rows, as the whole numbers that closed-form heads read."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from cl.tasks import IGNORED
from cl.training.batching import by_length, collate
from cl.training.closed_head import ClosedHead
from cl.training.learner import Learner

BATCH_SIZE = 64


@dataclass(frozen=True)
class Features:
    """What the head would read at every position that has a target.

    ``whole`` is int8 (positions, width), ``targets`` int64 (positions,), ``row`` the row of each position.
    """

    whole: torch.Tensor
    targets: torch.Tensor
    row: torch.Tensor


@torch.inference_mode()
def features_of(learner: Learner, head: ClosedHead, rows: pd.DataFrame) -> Features:
    """Run the encoder over rows in float32 and round what it says, in the rows' order."""
    learner.eval_mode()
    encoded = learner.encode(rows)
    found: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    for indices in by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        states = learner.states(batch.input_ids, batch.mask, layers=head.layers)
        whole = head.combine([learner.task.features(one, batch.mask) for one in states])
        whole, targets = whole.to(torch.int8).cpu(), batch.targets.cpu()
        for at, row in enumerate(indices):
            known = (targets[at] != IGNORED).reshape(-1)
            found.append((row, whole[at].reshape(-1, whole.shape[-1])[known], targets[at].reshape(-1)[known]))
    found.sort(key=lambda one: one[0])
    sizes = torch.tensor([len(one[2]) for one in found], dtype=torch.int64)
    width = learner.width * head.layers
    return Features(
        whole=torch.cat([one[1] for one in found]) if found else torch.zeros(0, width, dtype=torch.int8),
        targets=torch.cat([one[2] for one in found]) if found else torch.zeros(0, dtype=torch.int64),
        row=torch.repeat_interleave(torch.arange(len(found)), sizes),
    )
