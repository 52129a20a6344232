"""Frozen features kept on disk: the same encoder says the same of the same text, so that runs can share it.

The tokens of every text lie in the same file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cl.models.token_cache import TokenStore
from cl.tasks import Encoded

_TABLE = """CREATE TABLE IF NOT EXISTS features (
    key BLOB PRIMARY KEY, width INTEGER NOT NULL, whole BLOB NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID"""
_PAID = """CREATE TABLE IF NOT EXISTS paid (
    run TEXT, key BLOB, step INTEGER NOT NULL, PRIMARY KEY (run, key)) WITHOUT ROWID"""
_AT_ONCE = 500
MOST_BYTES = 2 * 2**30
"""A project's file that has grown beyond this is begun anew: about a million and a half short texts."""


class FeatureCache:
    """Whole-number features by what decides them: the encoder's weights, the layers read, the task and the tokens.

    ``saved_seconds`` and ``saved_rows`` say what the rows found here had cost another run, so that one which was
    spared the work can still report its price. What a run has paid for itself, or is known to have saved, is not
    counted again: it would find that in a file of its own as well, as a project does.
    """

    def __init__(self, path: Path, run: str = "", step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")  # what a power cut takes is only computed again
        self._database.execute(_TABLE)
        self._database.execute(_PAID)
        if run:
            self._database.execute("DELETE FROM paid WHERE run = ? AND step >= ?", [run, step])
        self._database.commit()
        self._run, self._step = run, step
        self.tokens = TokenStore(self._database)
        self.saved_seconds = 0.0
        self.saved_rows = 0

    def prefix(self, encoder: nn.Module, graph: bytes, *, layers: int, task: str) -> bytes:
        """Return what decides a row's features beside its tokens, hashed: every weight of the encoder among it."""
        how = hashlib.sha256(json.dumps([layers, task]).encode())
        how.update(graph)  # another kernel may round otherwise
        for name, tensor in encoder.state_dict().items():
            how.update(name.encode())
            how.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return how.digest()

    def keys(self, prefix: bytes, encoded: list[Encoded]) -> list[bytes]:
        """Return one key a row."""
        return [
            hashlib.sha256(prefix + np.asarray(one.input_ids, dtype=np.int32).tobytes()).digest() for one in encoded
        ]

    def find(self, keys: list[bytes]) -> dict[bytes, torch.Tensor]:
        """Return the features that are there, int8 (positions, width)."""
        found: dict[bytes, torch.Tensor] = {}
        saved: list[bytes] = []
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"""SELECT key, width, whole, seconds,
                    EXISTS (SELECT 1 FROM paid WHERE run = ? AND paid.key = features.key)
                FROM features WHERE key IN ({marks})"""
            for key, width, whole, seconds, paid in self._database.execute(query, [self._run, *some]):
                found[key] = torch.frombuffer(bytearray(whole), dtype=torch.int8).view(-1, width)
                if not paid:
                    saved.append(key)
                    self.saved_seconds += seconds
                    self.saved_rows += 1
        with self._database:
            self._pay(saved)
        return found

    def keep(self, keys: list[bytes], features: list[torch.Tensor], seconds: float) -> None:
        """Store features that took so many seconds together."""
        each = seconds / max(1, len(keys))
        rows = [(key, one.shape[-1], one.numpy().tobytes(), each) for key, one in zip(keys, features, strict=True)]
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO features VALUES (?, ?, ?, ?)", rows)
            self._pay(keys)

    def _pay(self, keys: list[bytes]) -> None:
        if self._run:
            rows = [(self._run, key, self._step) for key in keys]
            self._database.executemany("INSERT OR IGNORE INTO paid VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


CURRENT: ContextVar[FeatureCache | None] = ContextVar("CURRENT", default=None)


def prune_cache(path: Path) -> None:
    """Remove a file that has grown beyond `MOST_BYTES`; nobody else may have it open."""
    if path.exists() and path.stat().st_size > MOST_BYTES:
        for one in (path, *(path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))):
            one.unlink(missing_ok=True)


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Within this block, tokenizer and encoder themselves are asked: where what counts is the time they take."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextlib.contextmanager
def cached_in(path: Path, run: str = "", step: int = 0) -> Iterator[FeatureCache]:
    """Within this block, tokens, and features of frozen encoders, are looked up in a file, and added to it.

    Args:
        path: the file.
        run: who pays for what is computed, where several runs share the file.
        step: of the run; what it has paid for in this step and later ones is forgotten, for it begins there again.
    """
    cache = FeatureCache(path, run, step)
    token = CURRENT.set(cache)
    try:
        yield cache
    finally:
        CURRENT.reset(token)
        cache.close()
