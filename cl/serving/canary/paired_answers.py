"""Rows that champion and challenger have both answered, until their label comes: shared by all workers.

Feedback comes to any worker, and hours later: a small SQLite file holds what is needed to tell who was right. It is
no log: it may be lost, and then the comparison knows fewer labels.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS_KEPT = 200_000


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one row; ``id`` is that of the answer the client got."""

    id: str
    role: str
    version: str
    champion: str
    attempt: int
    own: Any
    beside: Any


@dataclass(frozen=True)
class PairedAnswers:
    """The file; each call opens it, so that any thread may call."""

    folder: Path

    @property
    def exist(self) -> bool:
        """Whether any were ever kept."""
        return self._file.exists()

    @property
    def _file(self) -> Path:
        return self.folder / "pairs.sqlite"

    def keep(self, pairs: list[AnswerPair]) -> None:
        """Keep pairs; the oldest are forgotten."""
        rows = [
            (one.id, one.role, one.version, one.champion, one.attempt, json.dumps([one.own, one.beside]))
            for one in pairs
        ]
        with self._open() as file:
            file.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?, ?, ?)", rows)
            file.execute("DELETE FROM pairs WHERE rowid <= (SELECT MAX(rowid) FROM pairs) - ?", (ROWS_KEPT,))

    def take(self, id: str) -> list[AnswerPair]:
        """Return the pairs of an answer, and forget them: a label counts once."""
        with self._open() as file:
            found = file.execute("DELETE FROM pairs WHERE id = ? RETURNING *", (id,)).fetchall()
        return [AnswerPair(*row[:5], *json.loads(row[5])) for row in found]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(self._file, timeout=10)
        try:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = OFF")
            file.execute(
                "CREATE TABLE IF NOT EXISTS pairs (id TEXT, role TEXT, version TEXT, champion TEXT, attempt INTEGER, "
                "answers TEXT, UNIQUE (id, role))"
            )
            with file:
                yield file
        finally:
            file.close()
