"""Measure a model's size: its memory during prediction, and its files on disk."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cl.models.blocks import in_blocks
from cl.models.inference import BATCH_SIZE
from cl.models.learner import Learner

SAVED_BY_TRAINING = ("learner.json", "head.safetensors", "encoder", "tokenizer", "strategies")


def measure_memory_mb(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``memory_mb``: the weights in memory plus the peak of all other tensors during one batch.

    Counts the bytes of tensors: parameters and buffers, and the peak of tensors alive at the same time while predicting
    a batch of 64 rows. The libraries, a few hundred MB, are not counted: they are the same for every version. The
    memory of ONNX Runtime cannot be measured from Python: torch is measured instead, with the same weights.
    """
    tensors = chain(*((*module.parameters(), *module.buffers()) for module in (learner.encoder, learner.head)))
    storages = [tensor.untyped_storage() for tensor in tensors]
    weights = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    return {"memory_mb": (weights + _peak_bytes(learner, rows.head(BATCH_SIZE))) / 1e6}


def size_mb(folder: Path) -> dict[str, float]:
    """Return ``size_mb``: the files that training saved, with the strategies' states but without reference rows."""
    paths = chain(*((folder / name, *(folder / name).rglob("*")) for name in SAVED_BY_TRAINING))
    return {"size_mb": sum(path.stat().st_size for path in paths if path.is_file()) / 1e6}


def _peak_bytes(learner: Learner, rows: pd.DataFrame) -> int:
    """Return the peak bytes of tensors alive at the same time while a learner predicts one batch."""
    if rows.empty:
        return 0
    learner = replace(learner, graph=None)
    learner.eval_mode()
    encoded = in_blocks(learner, rows, learner.encode(rows))[1][: len(rows)]
    (batch,) = learner.batches(encoded, None)
    with torch.no_grad(), Living() as living:
        learner.logits(batch)
    result: int = living.peak
    return result


class Living(TorchDispatchMode):
    """Count the bytes of live tensors that operations create in a block, now and at their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the new tensors in its result."""
        inputs = {_storage_key(tensor) for tensor in _find_tensors((args, kwargs or {}))}
        out = func(*args, **(kwargs or {}))
        for tensor in _find_tensors(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known and storage._cdata not in inputs:
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


def _storage_key(tensor: torch.Tensor) -> int:
    result: int = tensor.untyped_storage()._cdata
    return result


def _find_tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
