"""Frozen features of rows, rounded to int8 as closed-form heads read them.

Where the processor computes in bfloat16, the encoder does, two to three times as fast. A row has the same features in
any batch all the same, because rows of one length are read together: padding would change how sums are grouped, and
bfloat16 would round them to other numbers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch

from cl.models.closed_form_head import ClosedFormHead
from cl.models.feature_cache import CURRENT, FeatureCache, digest_reading, digest_weights
from cl.models.learner import Learner
from cl.models.precision import Precision, autocast, native_bfloat16
from cl.models.token_cache import tokenizer_digest
from cl.models.weights import weights_of_positions
from cl.process.progress import meter
from cl.tasks import Encoded, known_positions

BATCH_SIZE = 64
"""Rows of a batch in float32."""
BATCH_TOKENS = 4_096
"""Tokens of a batch in bfloat16, to which the encoder's weights are converted for each batch."""
Reader = Callable[[list[Encoded]], list[torch.Tensor]]


@dataclass(frozen=True)
class Features:
    """The head's input at every position with a target.

    ``whole`` is int8 (positions, width), ``targets`` are those of `Task.flat_targets`, ``row`` is the row of each
    position, ``weights`` what each counts in training, float64 (positions,); None: once.
    """

    whole: torch.Tensor
    targets: torch.Tensor
    row: torch.Tensor
    weights: torch.Tensor | None = None


def frozen_features(learner: Learner, head: ClosedFormHead, rows: pd.DataFrame) -> Features:
    """Run the encoder over rows and round its features, in the rows' order."""
    encoded = learner.encode(rows)
    whole = torch.cat(
        [torch.zeros(0, learner.feature_width * head.layers, dtype=torch.int8), *feature_reader(learner, head)(encoded)]
    )
    targets = learner.task.flat_targets(encoded)
    sizes = torch.tensor([len(row.targets) for row in encoded], dtype=torch.int64)
    known = known_positions(targets)
    numbers = torch.repeat_interleave(torch.arange(len(sizes)), sizes)[known]
    return Features(whole[known], targets[known], numbers, weights_of_positions(rows, numbers))


def feature_reader(learner: Learner, head: ClosedFormHead) -> Reader:
    """Return a function that computes the head's input for rows, int8 (positions, width).

    A text has one position, a sentence one for each word piece. Inside `cached_in`, features that any run has computed
    are read from the cache. The encoder's weights are hashed here, once: they must not change while the reader is used.
    """
    cache = CURRENT.get()
    if cache is None:
        return partial(_compute, learner, head)
    keys_of = partial(cache.keys, _prefix(cache, learner, head), windows=learner.windows)
    return partial(_read_cached, cache, keys_of, partial(_compute, learner, head))


def _prefix(cache: FeatureCache | None, learner: Learner, head: ClosedFormHead) -> bytes:
    """Return a hash of what decides a row's features besides its tokens."""
    graph = learner.graph.model if learner.graph else b""
    kind = f"{learner.task.name} bfloat16" if reads_bfloat16(learner) else learner.task.name
    kind += " last" if learner.reading.pooling == "last" else ""
    if cache is not None:
        return cache.prefix(learner.encoder, graph, layers=head.layers, task=kind)
    weights = digest_weights(learner.encoder.state_dict())
    return digest_reading(weights, graph, layers=head.layers, task=kind)


def reading_digest(learner: Learner, head: ClosedFormHead) -> str | None:
    """Return a hash of what decides a row's features besides the row; None: the tokenizer has no digest.

    Features may be kept under it from one process to the next.
    """
    if not getattr(learner.tokenizer, "is_fast", False):
        return None
    windows = learner.windows
    cuts = [learner.longest, *([windows.size, windows.overlap] if windows else [])]
    parts = _prefix(CURRENT.get(), learner, head) + tokenizer_digest(learner.tokenizer) + json.dumps(cuts).encode()
    return hashlib.sha256(parts).hexdigest()


def _read_cached(
    cache: FeatureCache, keys_of: Callable[[list[Encoded]], list[bytes]], compute: Reader, encoded: list[Encoded]
) -> list[torch.Tensor]:
    keys = keys_of(encoded)
    cached = cache.find(keys)
    missing = {key: row for key, row in zip(keys, encoded, strict=True) if key not in cached}  # each text once
    started = time.monotonic()
    fresh = compute(list(missing.values()))
    cache.keep(list(missing), fresh, time.monotonic() - started)
    cached.update(zip(missing, fresh, strict=True))
    return [cached[key] for key in keys]


def reads_bfloat16(learner: Learner) -> bool:
    """Return whether the encoder computes in bfloat16: where its weights are, or where the device supports it."""
    if learner.graph is not None or learner.is_int8:
        return False
    return learner.settings.dtype == "bfloat16" or native_bfloat16(learner.device)


@torch.inference_mode()
def _compute(learner: Learner, head: ClosedFormHead, encoded: list[Encoded]) -> list[torch.Tensor]:
    features: dict[int, torch.Tensor] = {}
    halves = reads_bfloat16(learner)
    precision: Precision = "bfloat16" if halves else "float32"
    with meter(len(encoded), "rows"), autocast(precision, learner.device):
        batches = (
            learner.run_by_length(encoded, BATCH_TOKENS, head.layers)
            if halves
            else learner.run(encoded, batch_size=BATCH_SIZE, layers=head.layers)
        )
        for batch, states in batches:
            with torch.autocast(learner.device.type, enabled=False):
                pooled = [learner.features(layer.float(), batch) for layer in states]
                whole = head.combine(pooled).to(torch.int8).cpu()
            for index, row in enumerate(batch.rows):
                features[row] = whole[index].reshape(-1, whole.shape[-1])[: len(encoded[row].targets)]
    return [features[row] for row in range(len(encoded))]
