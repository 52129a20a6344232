"""Logits that are recorded row by row, to be compared with those of later steps."""

from __future__ import annotations

import pandas as pd
import torch

from cl.tasks import IGNORED
from cl.training.batching import by_length, collate
from cl.training.inference import BATCH_SIZE
from cl.training.learner import Learner


@torch.no_grad()
def record(learner: Learner, rows: pd.DataFrame) -> list[torch.Tensor]:
    """Return each row's logits (predictions, labels) where it has targets: float32 on the CPU, dropout off."""
    learner.eval_mode()
    encoded = learner.encode(rows)
    found = [torch.empty(0)] * len(rows)
    for indices in by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        logits = learner.logits(batch.input_ids, batch.mask).float().cpu()
        for row, own in zip(indices, by_row(logits, batch.targets.cpu()), strict=True):
            found[row] = own
    return found


def by_row(logits: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
    """Cut a batch's logits into rows of (predictions, labels), without those that have no target."""
    if targets.ndim == 1:
        logits, targets = logits.unsqueeze(1), targets.unsqueeze(1)
    return [own[wanted != IGNORED] for own, wanted in zip(logits, targets, strict=True)]


def paired(now: torch.Tensor, then: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what one row's logits of two times have in common.

    The labels known then come first; a text that has been cut elsewhere meanwhile still begins alike.
    """
    predictions = min(len(now), len(then))
    return now[:predictions, : then.shape[-1]].float(), then[:predictions].to(now.device)
