"""How much room a model takes: in memory when it answers, and on disk."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cl.models.batching import collate
from cl.models.inference import BATCH_SIZE
from cl.models.learner import Learner

SAVED_BY_TRAINING = ("learner.json", "head.safetensors", "encoder", "tokenizer", "strategies")


def measure_memory_mb(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``measure_memory_mb``: the weights as they lie in memory, and the most that one batch needs beside them.

    Counted are the tensors' own bytes: parameters and buffers, and the peak of what lives at the same time while a
    batch of 64 of the rows is answered. The libraries themselves, some hundred MB, are not counted: they are the same
    for every version. What ONNX Runtime takes cannot be seen from here: torch stands for it, with the same weights.
    """
    tensors = chain(*((*one.parameters(), *one.buffers()) for one in (learner.encoder, learner.head)))
    weights = sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())
    return {"memory_mb": (weights + _peak(learner, rows.head(BATCH_SIZE))) / 1e6}


def size_mb(folder: Path) -> dict[str, float]:
    """Return ``size_mb``: what training saved of a version, the strategies' state with it, but no reference rows."""
    paths = chain(*((folder / name, *(folder / name).rglob("*")) for name in SAVED_BY_TRAINING))
    return {"size_mb": sum(path.stat().st_size for path in paths if path.is_file()) / 1e6}


def _peak(learner: Learner, rows: pd.DataFrame) -> int:
    """Return the bytes of all tensors that live at once, at most, while a learner answers one batch."""
    if rows.empty:
        return 0
    learner = replace(learner, graph=None)
    learner.eval_mode()
    encoded = learner.encode(rows)
    batch = collate(learner.task, encoded, list(range(len(encoded))), learner.tokenizer.pad_token_id, learner.device)
    with torch.no_grad(), Living() as living:
        learner.logits(batch.input_ids, batch.mask)
    return living.peak


class Living(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make within a block, as long as each of them lives."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what is new in its answer."""
        given = {_storage(one) for one in _tensors((args, kwargs or {}))}
        out = func(*args, **(kwargs or {}))
        for one in _tensors(out):
            storage = one.untyped_storage()
            if storage._cdata not in self._known and storage._cdata not in given:
                self._count(storage)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storage(one: torch.Tensor) -> int:
    return one.untyped_storage()._cdata


def _tensors(value: Any) -> list[torch.Tensor]:
    return [one for one in torch.utils._pytree.tree_leaves(value) if isinstance(one, torch.Tensor)]
