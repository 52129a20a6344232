"""Frozen features of rows, as the whole numbers that closed-form heads read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch

from cl.models.batching import batch_by_length, collate
from cl.models.closed_form_head import ClosedFormHead
from cl.models.feature_cache import CURRENT, FeatureCache
from cl.models.learner import Learner
from cl.tasks import IGNORED, Encoded

BATCH_SIZE = 64
Reader = Callable[[list[Encoded]], list[torch.Tensor]]


@dataclass(frozen=True)
class Features:
    """What the head would read at every position that has a target.

    ``whole`` is int8 (positions, width), ``targets`` int64 (positions,), ``row`` the row of each position.
    """

    whole: torch.Tensor
    targets: torch.Tensor
    row: torch.Tensor


def frozen_features(learner: Learner, head: ClosedFormHead, rows: pd.DataFrame) -> Features:
    """Run the encoder over rows in float32 and round what it says, in the rows' order."""
    encoded = learner.encode(rows)
    whole, targets = (
        [torch.zeros(0, learner.width * head.layers, dtype=torch.int8)],
        [torch.zeros(0, dtype=torch.int64)],
    )
    for one, every in zip(encoded, feature_reader(learner, head)(encoded), strict=True):
        wanted = torch.tensor(one.targets, dtype=torch.int64)
        known = wanted != IGNORED
        whole.append(every[known])
        targets.append(wanted[known])
    sizes = torch.tensor([len(one) for one in targets[1:]], dtype=torch.int64)
    return Features(torch.cat(whole), torch.cat(targets), torch.repeat_interleave(torch.arange(len(sizes)), sizes))


def feature_reader(learner: Learner, head: ClosedFormHead) -> Reader:
    """Return what says of each row what the head reads, int8 (positions, width): one position a text, or a word piece.

    Inside `kept_in`, rows that any run has been through before are not run again; the encoder's weights are hashed
    here, once, so that they must stay as they are while the reader is used.
    """
    cache = CURRENT.get()
    if cache is None:
        return partial(_computed, learner, head)
    graph = learner.graph.model if learner.graph else b""
    prefix = cache.prefix(learner.encoder, graph, layers=head.layers, task=learner.task.name)
    return partial(_looked_up, cache, prefix, partial(_computed, learner, head))


def _looked_up(cache: FeatureCache, prefix: bytes, compute: Reader, encoded: list[Encoded]) -> list[torch.Tensor]:
    keys = cache.keys(prefix, encoded)
    found = cache.find(keys)
    missing = {key: one for key, one in zip(keys, encoded, strict=True) if key not in found}  # each text once
    started = time.monotonic()
    fresh = compute(list(missing.values()))
    cache.keep(list(missing), fresh, time.monotonic() - started)
    found.update(zip(missing, fresh, strict=True))
    return [found[key] for key in keys]


@torch.inference_mode()
def _computed(learner: Learner, head: ClosedFormHead, encoded: list[Encoded]) -> list[torch.Tensor]:
    learner.eval_mode()
    found: dict[int, torch.Tensor] = {}
    for indices in batch_by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        states = learner.states(batch.input_ids, batch.mask, layers=head.layers)
        whole = head.combine([learner.task.features(one, batch.mask) for one in states]).to(torch.int8).cpu()
        for at, row in enumerate(indices):
            found[row] = whole[at].reshape(-1, whole.shape[-1])[: len(encoded[row].targets)]
    return [found[row] for row in range(len(encoded))]
