"""A version in memory, ready to answer: checked, in the precision that serves best, and warm."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from cl.errors import StoreError
from cl.models.batching import collate
from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import feature_reader
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.precision import ServedPrecision, to_precision
from cl.serving.out_of_scope import OutOfScopeCheck, build_scope
from cl.tasks import Encoded
from cl.tasks.text_classification import mean_pool

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_BATCHES = ((1, 1), (1, 12), (8, 12), (1, 400))
"""Rows and words of what a version is warmed with: its weights are in memory then, and kernels have chosen their plans.
Few, for while it is warmed requests that came after a promotion wait for it."""


@dataclass(frozen=True)
class RowAnswer:
    """One row's answer: ``probabilities`` are (predictions, labels), one prediction a text or a token.

    ``out_of_scope`` is None where the version has no threshold.
    """

    value: Any
    confidence: float
    probabilities: np.ndarray
    out_of_scope: bool | None


@dataclass(frozen=True)
class ServedModel:
    """A version of the registry that can be asked; by one thread at a time, for its tokenizer has a state."""

    version: str
    learner: Learner
    scope: OutOfScopeCheck | None

    @property
    def labels(self) -> list[str]:
        """What it can answer."""
        return self.learner.labels

    def encode(self, values: list[Any]) -> list[Encoded]:
        """Tokenise texts, or lists of tokens."""
        return self.learner.encode(pd.DataFrame({self.learner.task.columns[0]: values}))

    @torch.inference_mode()
    def answer(self, values: list[Any], encoded: list[Encoded]) -> list[RowAnswer]:
        """Return the answers to rows that are computed as one batch, in their order."""
        head = self.learner.head
        found = self._solved(head, encoded) if isinstance(head, ClosedFormHead) else self._trained(encoded)
        outside = self.scope.outside(found.embeddings).tolist() if self.scope else [None] * len(values)
        answers = []
        for value, one, own, far in zip(values, encoded, found.probabilities, outside, strict=True):
            told = self.learner.task.decode(own, one, len(value), self.labels)
            answers.append(RowAnswer(told.value, told.confidence, own[one.anchors], far))
        return answers

    def _trained(self, encoded: list[Encoded]) -> _Read:
        learner, rows = self.learner, list(range(len(encoded)))
        batch = collate(learner.task, encoded, rows, learner.tokenizer.pad_token_id, learner.device)
        states = [one.float() for one in learner.states(batch.input_ids, batch.mask)]
        logits = learner.read(states, batch.mask)
        probabilities = logits.softmax(-1).cpu().numpy().reshape(len(rows), -1, logits.shape[-1])
        return _Read(list(probabilities), mean_pool(states[-1], batch.mask).cpu().numpy())

    def _solved(self, head: ClosedFormHead, encoded: list[Encoded]) -> _Read:
        whole = feature_reader(self.learner, head)(encoded)
        probabilities = head(torch.cat(whole).float().to(self.learner.device)).softmax(-1).cpu()
        embeddings = [one[:, -self.learner.width :].float().mean(0).numpy() for one in whole]
        return _Read([one.numpy() for one in probabilities.split([len(one) for one in whole])], np.stack(embeddings))


@dataclass(frozen=True)
class _Read:
    probabilities: list[np.ndarray]
    embeddings: np.ndarray


def load_served_model(version: str, folder: Path, precision: ServedPrecision) -> ServedModel:
    """Read a checked version and ask it a few texts, so that the first request is as fast as the next.

    What a tuning has added is folded into the weights where that can be.

    Raises:
        StoreError: what it answers is no probability.
    """
    learner = load_learner(folder)
    merged = learner.tuning.merge(learner.encoder) or learner.encoder
    learner = to_precision(replace(learner, encoder=cast("PreTrainedModel", merged)), precision)
    for module in (learner.encoder, learner.head):
        module.requires_grad_(False)
    loaded = ServedModel(version, prepare_for_serving(learner), build_scope(folder))
    _warm(loaded)
    return loaded


def prepare_for_serving(learner: Learner) -> Learner:
    """Return a learner that lets go of the weights its graph has as well: it can be asked, not taught or saved."""
    if learner.graph is not None:
        learner.encoder.to("meta")  # type: ignore[arg-type]
    return learner


def _warm(loaded: ServedModel) -> None:
    tokens = loaded.learner.task.columns[0] == "tokens"
    for rows, words in WARM_BATCHES:
        values: list[Any] = [["the"] * words if tokens else "the " * words] * rows
        for answer in loaded.answer(values, loaded.encode(values)):
            if not np.isfinite(answer.probabilities).all():
                raise StoreError(f"version {loaded.version} answers with numbers that are not finite")


def release_memory() -> None:
    """Let the system have what is free: the allocators keep it else, Arrow's for the thread that calls this."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
