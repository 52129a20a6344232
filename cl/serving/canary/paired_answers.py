"""Rows answered by both champion and challenger, kept until their label arrives and shared by all workers.

Feedback may reach any worker hours later, so a small SQLite file keeps both answers. It is not a log: if it is lost,
the comparison has fewer labels.
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
    """Two answers to one row; ``id`` is the id of the answer that the client got."""

    id: str
    role: str
    version: str
    champion: str
    attempt: int
    own: Any
    champion_answer: Any


@dataclass(frozen=True)
class PairedAnswers:
    """The SQLite file; each call opens it, so any thread may call."""

    folder: Path

    @property
    def exist(self) -> bool:
        """Whether any pairs were ever kept."""
        return self._file.exists()

    @property
    def _file(self) -> Path:
        return self.folder / "pairs.sqlite"

    def keep(self, pairs: list[AnswerPair]) -> None:
        """Keep pairs and delete the oldest."""
        rows = [
            (
                pair.id,
                pair.role,
                pair.version,
                pair.champion,
                pair.attempt,
                json.dumps([pair.own, pair.champion_answer]),
            )
            for pair in pairs
        ]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.execute("DELETE FROM pairs WHERE rowid <= (SELECT MAX(rowid) FROM pairs) - ?", (ROWS_KEPT,))

    def take(self, id: str) -> list[AnswerPair]:
        """Return and delete the pairs of an answer, so that a label counts once."""
        with self._open() as connection:
            rows = connection.execute("DELETE FROM pairs WHERE id = ? RETURNING *", (id,)).fetchall()
        return [AnswerPair(*row[:5], *json.loads(row[5])) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._file, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS pairs (id TEXT, role TEXT, version TEXT, champion TEXT, attempt INTEGER, "
                "answers TEXT, UNIQUE (id, role))"
            )
            with connection:
                yield connection
        finally:
            connection.close()
