"""Frozen features of rows, as the whole numbers that closed-form heads read."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pandas as pd
import torch

from cl.tasks import IGNORED, Encoded
from cl.training.batching import by_length, collate
from cl.training.closed_head import ClosedHead
from cl.training.feature_cache import CURRENT
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


def features_of(learner: Learner, head: ClosedHead, rows: pd.DataFrame) -> Features:
    """Run the encoder over rows in float32 and round what it says, in the rows' order."""
    encoded = learner.encode(rows)
    whole, targets = (
        [torch.zeros(0, learner.width * head.layers, dtype=torch.int8)],
        [torch.zeros(0, dtype=torch.int64)],
    )
    for one, every in zip(encoded, whole_numbers(learner, head, encoded), strict=True):
        wanted = torch.tensor(one.targets, dtype=torch.int64)
        known = wanted != IGNORED
        whole.append(every[known])
        targets.append(wanted[known])
    sizes = torch.tensor([len(one) for one in targets[1:]], dtype=torch.int64)
    return Features(torch.cat(whole), torch.cat(targets), torch.repeat_interleave(torch.arange(len(sizes)), sizes))


def whole_numbers(learner: Learner, head: ClosedHead, encoded: list[Encoded]) -> list[torch.Tensor]:
    """Return what the head reads of each row, int8 (positions, width): one position a text, or one a word piece.

    Inside `kept_in`, rows that any run has been through before are not run again.
    """
    cache = CURRENT.get()
    if cache is None:
        return _computed(learner, head, encoded)
    keys = cache.keys(learner, head, encoded)
    found = cache.find(keys)
    missing = [at for at, key in enumerate(keys) if key not in found]
    started = time.monotonic()
    fresh = _computed(learner, head, [encoded[at] for at in missing])
    cache.keep([keys[at] for at in missing], fresh, time.monotonic() - started)
    at_hand = iter(fresh)
    return [found[key] if key in found else next(at_hand) for key in keys]


@torch.inference_mode()
def _computed(learner: Learner, head: ClosedHead, encoded: list[Encoded]) -> list[torch.Tensor]:
    learner.eval_mode()
    found: dict[int, torch.Tensor] = {}
    for indices in by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        states = learner.states(batch.input_ids, batch.mask, layers=head.layers)
        whole = head.combine([learner.task.features(one, batch.mask) for one in states]).to(torch.int8).cpu()
        for at, row in enumerate(indices):
            found[row] = whole[at].reshape(-1, whole.shape[-1])[: len(encoded[row].targets)]
    return [found[row] for row in range(len(encoded))]
