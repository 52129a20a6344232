"""Token ids cached on disk, shared between updates and runs: a tokenizer is deterministic.

A lookup takes 8 to 14 microseconds a row, a fast tokenizer 27 (11 tokens) to 330 (120 tokens). That is little compared
with any encoder, but most of the remaining work where the features are cached too.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from cl.tasks import Encoded

_TABLE = """CREATE TABLE IF NOT EXISTS tokens (
    key BLOB PRIMARY KEY, ids BLOB NOT NULL, words BLOB NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID"""
_CHUNK = 500
_NO_WORD = -1
_DIGESTS: WeakKeyDictionary[PreTrainedTokenizerBase, bytes] = WeakKeyDictionary()

MOST_RECENT = 10_000
"""Texts whose tokens are kept in memory: an update asks for some of them again and again."""
_Tokens = tuple[list[int], list[int | None]]
"""Token ids, and the word of each."""


class _Row(NamedTuple):
    """A row's tokens, and the seconds that the tokenizer took for them."""

    tokens: _Tokens
    seconds: float


Tokenizer = Callable[..., Any]
"""Tokenises for a task: is called like a transformers tokenizer and returns an encoding like theirs."""


@dataclass(frozen=True)
class CachedEncoding:
    """The part of a tokenizer's output that tasks read."""

    rows: list[_Tokens]

    def __getitem__(self, name: str) -> list[list[int]]:
        assert name == "input_ids", name
        return [ids for ids, _ in self.rows]

    def word_ids(self, row: int) -> list[int | None]:
        """Return the word that each piece of a row belongs to, None for special tokens."""
        return self.rows[row][1]


@dataclass(frozen=True)
class CachedTokenizer:
    """A tokenizer with a cache in front of it, which has the tokenizer's names of special tokens."""

    store: TokenStore
    tokenizer: PreTrainedTokenizerBase

    def __call__(self, texts: Sequence[str | list[str]], **options: Any) -> CachedEncoding:
        """Tokenise as the tokenizer does."""
        return self.store.tokenise(self.tokenizer, texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


class TokenStore:
    """Token ids, keyed by the tokenizer, its options and the text.

    ``saved_seconds`` is the time that tokenising the cached rows had taken.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.execute(_TABLE)
        self._database.commit()
        self.saved_seconds = 0.0
        self._recent: dict[bytes, dict[str, _Row]] = {}

    def before(self, tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
        """Return the tokenizer with this cache in front of it; a slow tokenizer is returned as it is."""
        return CachedTokenizer(self, tokenizer) if getattr(tokenizer, "is_fast", False) else tokenizer

    def tokenise(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | list[str]], **options: Any
    ) -> CachedEncoding:
        """Return the encoding of texts, or of lists of words, from the cache where possible."""
        prefix = tokenizer_digest(tokenizer) + json.dumps(options, sort_keys=True).encode()
        names = [text if isinstance(text, str) else json.dumps(text) for text in texts]
        recent = self._recent.setdefault(prefix, {})
        known = {name: recent[name] for name in names if name in recent}
        self.saved_seconds += sum(row.seconds for row in known.values())
        if missing := {name: text for name, text in zip(names, texts, strict=True) if name not in known}:
            keys = {hashlib.sha256(prefix + json.dumps(text).encode()).digest(): name for name, text in missing.items()}
            rows = self._find(list(keys))
            fresh = {key: missing[name] for key, name in keys.items() if key not in rows}
            if fresh:
                rows |= self._run_tokenizer(tokenizer, fresh, options)
            known |= {name: rows[key] for key, name in keys.items()}
            if len(recent) + len(missing) > MOST_RECENT:
                recent.clear()
            recent.update(islice(known.items(), MOST_RECENT))
        return CachedEncoding([known[name].tokens for name in names])

    def _find(self, keys: list[bytes]) -> dict[bytes, _Row]:
        cached: dict[bytes, _Row] = {}
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            query = f"SELECT key, ids, words, seconds FROM tokens WHERE key IN ({','.join('?' * len(chunk))})"
            for key, ids, words, seconds in self._database.execute(query, chunk):
                known_words = [None if word == _NO_WORD else word for word in _to_ids(words)]
                cached[key] = _Row((_to_ids(ids), known_words), seconds)
                self.saved_seconds += seconds
        return cached

    def _run_tokenizer(
        self, tokenizer: PreTrainedTokenizerBase, fresh: dict[bytes, str | list[str]], options: dict[str, Any]
    ) -> dict[bytes, _Row]:
        started = time.monotonic()
        encoding = tokenizer(list(fresh.values()), **options)
        with_words = options.get("is_split_into_words", False)
        words = [encoding.word_ids(row) if with_words else [] for row in range(len(fresh))]
        seconds = (time.monotonic() - started) / len(fresh)
        answers = dict(zip(fresh, zip(encoding["input_ids"], words, strict=True), strict=True))
        rows = [
            (key, _to_bytes(ids), _to_bytes([_NO_WORD if word is None else word for word in row_words]), seconds)
            for key, (ids, row_words) in answers.items()
        ]
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO tokens VALUES (?, ?, ?, ?)", rows)
        return {key: _Row(tokens, seconds) for key, tokens in answers.items()}


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> bytes:
    """Return a hash of a fast tokenizer's rules and versions, without the length that it was last called with."""
    if tokenizer not in _DIGESTS:
        rules = tokenizer.backend_tokenizer.to_str()
        rules = rules[rules.index('"added_tokens"') :]  # what it was last called with comes before
        setup = [version("tokenizers"), version("transformers"), type(tokenizer).__name__, tokenizer.truncation_side]
        _DIGESTS[tokenizer] = hashlib.sha256(json.dumps([rules, setup]).encode()).digest()
    return _DIGESTS[tokenizer]


def _to_ids(stored: bytes) -> list[int]:
    result: list[int] = np.frombuffer(stored, dtype=np.int32).tolist()
    return result


def _to_bytes(numbers: list[int]) -> bytes:
    return np.asarray(numbers, dtype=np.int32).tobytes()


class TokenCache:
    """Encodes each row once in an update; `TokenStore` keeps tokens from one update to the next."""

    def __init__(self, encode: Callable[[pd.DataFrame], list[Encoded]]) -> None:
        self._encode = encode
        self._known: dict[str, Encoded] = {}

    def encode(self, rows: pd.DataFrame) -> list[Encoded]:
        """Return the rows' tokens, cached where possible."""
        fresh = rows[~rows["id"].isin(self._known)].drop_duplicates("id")
        self._known.update(zip(fresh["id"], self._encode(fresh), strict=True))
        return [self._known[row] for row in rows["id"]]
