"""Frozen features cached on disk, shared between runs: a frozen encoder is deterministic.

The tokens of every text are in the same file, those of the rows of language models in a folder next to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import sqlite3
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from cl.models.token_cache import TokenStore
from cl.models.token_files import TokenFiles, prune_tokens
from cl.models.windows import Windows
from cl.tasks import Encoded

_TABLE = """CREATE TABLE IF NOT EXISTS features (
    key BLOB PRIMARY KEY, width INTEGER NOT NULL, whole BLOB NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID"""
_PAID = """CREATE TABLE IF NOT EXISTS paid (
    run TEXT, key BLOB, step INTEGER NOT NULL, PRIMARY KEY (run, key)) WITHOUT ROWID"""
_ENCODERS = "CREATE TABLE IF NOT EXISTS encoders (prefix BLOB PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID"
_CHUNK = 500
KEPT_ENCODERS = 3
"""Encoders whose features a project keeps, those used last: once an update has trained one, nobody asks it again."""
PREFIX_BYTES = 8
"""How many bytes of a key say which encoder its features are of."""
MAX_BYTES = 2 * 2**30
"""A cache file larger than this is deleted and started again: about a million and a half short texts."""


@dataclass(frozen=True)
class _Digest:
    """A hash of weights, and by what to know that they are still the same; held tensors keep their addresses."""

    state: tuple[object, ...]
    tensors: list[torch.Tensor]
    digest: bytes


def digest_weights(weights: Mapping[str, Any]) -> bytes:
    """Return a hash of weights, which are tensors, and of their names."""
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.digest()


TOKENS = "tokens"
"""The folder next to a cache file with the tokens of language models."""

KERNELS = 2
"""Counts the changes of `cl.models.kernels` that may round a feature differently: the cache knows them apart."""


def digest_reading(weights: bytes, graph: bytes, *, layers: int, task: str) -> bytes:
    """Return a hash of what decides a row's features besides its tokens; ``weights`` is that of the encoder's."""
    digest = hashlib.sha256(json.dumps([KERNELS, layers, task]).encode())
    digest.update(graph)  # another kernel may round differently
    digest.update(weights)
    return digest.digest()


class FeatureCache:
    """int8 features, keyed by the encoder's weights, the layers read, the task and the tokens.

    ``saved_seconds`` and ``saved_rows`` are the cost of cached rows that another run computed, so that a run can report
    its cost as if it had done the work itself. Rows that a run computed itself or has already counted are not counted
    again: a cache of its own, such as a project has, would hold them as well.
    """

    def __init__(self, path: Path, run: str = "", step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")  # what a power cut loses is simply computed again
        self._database.execute(_TABLE)
        self._database.execute(_PAID)
        self._database.execute(_ENCODERS)
        if run:
            self._database.execute("DELETE FROM paid WHERE run = ? AND step >= ?", [run, step])
        self._database.commit()
        self._run, self._step = run, step
        self._optimiser_steps = 0  # fused optimisers change weights without counting up their versions
        self._hook = register_optimizer_step_post_hook(self._count_step)
        self._digests: WeakKeyDictionary[nn.Module, _Digest] = WeakKeyDictionary()
        self._used: set[bytes] = set()
        self.tokens = TokenStore(self._database)
        self.token_files = TokenFiles(path.with_name(TOKENS))
        self.saved_seconds = 0.0
        self.saved_rows = 0

    def prefix(self, encoder: nn.Module, graph: bytes, *, layers: int, task: str) -> bytes:
        """Return a hash of what decides a row's features besides its tokens, including every encoder weight."""
        prefix = digest_reading(self._digest_weights(encoder), graph, layers=layers, task=task)
        if prefix not in self._used:
            self._used.add(prefix)
            latest = "(SELECT COALESCE(MAX(used), 0) + 1 FROM encoders)"
            with self._database:
                query = f"INSERT OR REPLACE INTO encoders VALUES (?, {latest})"
                self._database.execute(query, [prefix[:PREFIX_BYTES]])
        return prefix

    def _digest_weights(self, encoder: nn.Module) -> bytes:
        """Return a hash of all weights, computed again only when one of them has been changed or replaced."""
        weights = encoder.state_dict(keep_vars=True)
        tensors = list(weights.values())
        versions = [-1 if tensor.is_inference() else tensor._version for tensor in tensors]
        state = self._optimiser_steps, *weights, *(tensor.data_ptr() for tensor in tensors), *versions
        known = self._digests.get(encoder)
        if known and known.state == state and all(map(operator.is_, known.tensors, tensors)) and -1 not in versions:
            return known.digest
        digest = digest_weights(weights)
        self._digests[encoder] = _Digest(state, tensors, digest)
        return digest

    def keys(self, prefix: bytes, encoded: list[Encoded], windows: Windows | None = None) -> list[bytes]:
        """Return one key for each row; that of a row which is read in windows depends on how."""
        cuts = json.dumps([windows.size, windows.overlap]).encode() if windows else b""
        return [
            prefix[:PREFIX_BYTES]
            + hashlib.sha256(
                prefix
                + (cuts if windows and len(row.input_ids) > windows.size else b"")
                + np.asarray(row.input_ids, dtype=np.int32).tobytes()
            ).digest()[PREFIX_BYTES:]
            for row in encoded
        ]

    def find(self, keys: list[bytes]) -> dict[bytes, torch.Tensor]:
        """Return the cached features, int8 (positions, width)."""
        cached: dict[bytes, torch.Tensor] = {}
        saved: list[bytes] = []
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"""SELECT key, width, whole, seconds,
                    EXISTS (SELECT 1 FROM paid WHERE run = ? AND paid.key = features.key)
                FROM features WHERE key IN ({marks})"""
            for key, width, whole, seconds, paid in self._database.execute(query, [self._run, *chunk]):
                cached[key] = torch.frombuffer(bytearray(whole), dtype=torch.int8).view(-1, width)
                if not paid:
                    saved.append(key)
                    self.saved_seconds += seconds
                    self.saved_rows += 1
        with self._database:
            self._mark_paid(saved)
        return cached

    def keep(self, keys: list[bytes], features: list[torch.Tensor], seconds: float) -> None:
        """Store features and their share of the seconds that computing all of them took."""
        each = seconds / max(1, len(keys))
        rows = [(key, row.shape[-1], row.numpy().tobytes(), each) for key, row in zip(keys, features, strict=True)]
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO features VALUES (?, ?, ?, ?)", rows)
            self._mark_paid(keys)

    def _mark_paid(self, keys: list[bytes]) -> None:
        if self._run:
            rows = [(self._run, key, self._step) for key in keys]
            self._database.executemany("INSERT OR IGNORE INTO paid VALUES (?, ?, ?)", rows)

    def _count_step(self, *_: object) -> None:
        self._optimiser_steps += 1

    def close(self) -> None:
        """Close the file."""
        self._hook.remove()
        self._database.close()


CURRENT: ContextVar[FeatureCache | None] = ContextVar("CURRENT", default=None)


def prune_cache(path: Path) -> None:
    """Delete the features of encoders that no update will ask again, and a file larger than `MAX_BYTES`.

    No other process may have the file open. It does not shrink; new features take the place of those deleted. The
    folder of tokens next to it is emptied where it is too large.
    """
    prune_tokens(path.with_name(TOKENS))
    if not path.exists():
        return
    if path.stat().st_size > MAX_BYTES:
        for file in (path, *(path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))):
            file.unlink(missing_ok=True)
        return
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database, database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'encoders'").fetchone() is None:
            return
        query = f"SELECT prefix FROM encoders ORDER BY used DESC LIMIT -1 OFFSET {KEPT_ENCODERS}"
        for (prefix,) in database.execute(query).fetchall():
            database.execute("DELETE FROM features WHERE key >= ? AND key < ?", [prefix, prefix + b"\xff" * 24])
            database.execute("DELETE FROM encoders WHERE prefix = ?", [prefix])


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Bypass the cache within this block, to measure the time of tokenizer and encoder themselves."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextlib.contextmanager
def cached_in(path: Path, run: str = "", step: int = 0) -> Iterator[FeatureCache]:
    """Within this block, cache tokens and features of frozen encoders in a file.

    Args:
        path: the file.
        run: name of the run that is charged for computed rows, if several runs share the file.
        step: of the run; charges from this step on are dropped, because the run resumes here.
    """
    cache = FeatureCache(path, run, step)
    token = CURRENT.set(cache)
    try:
        yield cache
    finally:
        CURRENT.reset(token)
        cache.close()
