"""An index of the finished cycles on this machine, so that no cycle reads the records of all the others.

It holds the outline of each cycle. What it lacks it reads once from the cycles' MLflow runs; a lost or damaged index is
made again from them.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cl.records import Cycle, CycleOutline, Drift

FORMAT = 1
"""Of the table; an index of another format is made again."""
PAGE = 50
"""Outlines that are read at a time."""
WAIT = 30.0
"""Seconds to wait for another process that writes to the index."""
TABLE = """
CREATE TABLE cycles (
    run TEXT PRIMARY KEY, begun INTEGER NOT NULL, id TEXT NOT NULL, experience TEXT NOT NULL, verdict TEXT NOT NULL,
    is_quiet INTEGER NOT NULL, drift_check INTEGER, version TEXT, champion TEXT, scores TEXT, outline TEXT NOT NULL
);
CREATE INDEX cycles_in_order ON cycles (begun, run);
CREATE INDEX cycles_by_id ON cycles (id);
CREATE INDEX cycles_by_experience ON cycles (experience);
CREATE INDEX cycles_by_version ON cycles (version);
CREATE INDEX quiet_cycles ON cycles (begun, run) WHERE is_quiet;
"""


class MatrixRow(NamedTuple):
    """A row of the accuracy matrix: the experience learned last, all scores, and the champion before."""

    newest: str
    scores: dict[str, float]
    champion: str | None


class PastCycles:
    """The outlines of a model's finished cycles, in the order in which they began.

    Args:
        path: the SQLite file; None: it is kept in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._memory: sqlite3.Connection | None = None

    def runs(self) -> dict[str, int]:
        """Return the MLflow run of each cycle, and when it began, in milliseconds since 1970."""
        with self._connected() as connection:
            return dict(connection.execute("SELECT run, begun FROM cycles"))

    def add(self, cycles: Mapping[tuple[str, int], Cycle]) -> None:
        """Add cycles, each under its MLflow run and when that began, in milliseconds since 1970."""
        with self._connected() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO cycles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_columns(run, begun, cycle) for (run, begun), cycle in cycles.items()],
            )

    def remove(self, runs: Collection[str]) -> None:
        """Remove the cycles of these runs."""
        with self._connected() as connection:
            connection.executemany("DELETE FROM cycles WHERE run = ?", [(run,) for run in runs])

    def experiences(self) -> set[str]:
        """Return the experiences that had a cycle."""
        return {experience for (experience,) in self._select("SELECT DISTINCT experience FROM cycles")}

    def verdicts(self) -> dict[str, str]:
        """Return the verdict of the last cycle of each experience."""
        return dict(self._select("SELECT experience, verdict FROM cycles ORDER BY begun, run"))

    def left_open(self, verdicts: Collection[str]) -> list[CycleOutline]:
        """Return the last cycle of each experience where it ended with one of these verdicts, by experience."""
        newer = "SELECT 1 FROM cycles d WHERE d.experience = c.experience AND (d.begun, d.run) > (c.begun, c.run)"
        wanted = ", ".join("?" * len(verdicts))
        query = f"SELECT outline FROM cycles c WHERE verdict IN ({wanted}) AND NOT EXISTS ({newer}) ORDER BY experience"
        return list(map(_read, self._select(query, *verdicts)))

    def attempts(self, experience: str) -> int:
        """Return how many cycles an experience had."""
        return int(self._select("SELECT COUNT(*) FROM cycles WHERE experience = ?", experience)[0][0])

    def run_of(self, cycle: str) -> str | None:
        """Return the MLflow run of a finished cycle; None: there is no such cycle."""
        return next((run for (run,) in self._select("SELECT run FROM cycles WHERE id = ?", cycle)), None)

    def run_of_version(self, version: str) -> str | None:
        """Return the MLflow run of the cycle whose promotion was about a version; None: there is none."""
        query = "SELECT run FROM cycles WHERE version = ? ORDER BY begun, run LIMIT 1"
        return next((run for (run,) in self._select(query, version)), None)

    def row_of(self, version: str) -> MatrixRow | None:
        """Return the scores of the cycle whose promotion was about a version; None: there is none, or it has none."""
        query = "SELECT champion, scores FROM cycles WHERE version = ? ORDER BY begun, run LIMIT 1"
        for champion, scores in self._select(query, version):
            if scores is not None:
                newest, row = json.loads(scores)
                return MatrixRow(newest, row, champion)
        return None

    def last_check(self) -> int:
        """Return the number of the last drift check; 0: there was none."""
        made, last = self._select("SELECT COUNT(drift_check), MAX(drift_check) FROM cycles")[0]
        return int(max(made, last or 0))

    def quiet_checks(self, most: int) -> list[Drift]:
        """Return the newest drift checks, at most so many, that led to nothing, oldest first."""
        query = "SELECT outline FROM cycles WHERE is_quiet ORDER BY begun DESC, run DESC LIMIT ?"
        return [_read(row).drift for row in reversed(self._select(query, most))]

    def newest_runs(self, most: int | None) -> list[str]:
        """Return the MLflow runs of the newest cycles, at most so many, oldest first; None: of all cycles."""
        query = "SELECT run FROM cycles ORDER BY begun DESC, run DESC LIMIT ?"
        rows = self._select(query, -1 if most is None else most)
        return [run for (run,) in reversed(rows)]

    def counts(self) -> dict[str, int]:
        """Return how many cycles ended with each verdict."""
        return dict(self._select("SELECT verdict, COUNT(*) FROM cycles GROUP BY verdict"))

    def last_end(self) -> datetime | None:
        """Return when the last cycle ended; None: there is none."""
        ends = [outline.ended_at for outline in islice(self.newest_first(), PAGE)]
        return max(ends, default=None)

    def newest_first(self) -> Iterator[CycleOutline]:
        """Yield all cycles, the newest first, as far as they are asked for."""
        last: tuple[int, str] | None = None
        while True:
            older = "" if last is None else "WHERE (begun, run) < (?, ?)"
            query = f"SELECT begun, run, outline FROM cycles {older} ORDER BY begun DESC, run DESC LIMIT ?"
            rows = self._select(query, *(last or ()), PAGE)
            yield from (_read(row[2:]) for row in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1][0], rows[-1][1]

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return list(connection.execute(query, values))

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection to the table, and commit."""
        if self._memory is None and (self._path is None or not _prepare(self._path)):
            self._memory = sqlite3.connect(":memory:", check_same_thread=False)
            _make_table(self._memory)
        if self._memory is not None:
            with self._memory:
                yield self._memory
            return
        assert self._path is not None
        with closing(sqlite3.connect(self._path, timeout=WAIT)) as connection, connection:
            yield connection


def _columns(run: str, begun: int, cycle: Cycle) -> tuple[object, ...]:
    outline, evaluation = cycle.outline, cycle.evaluation
    return (
        run,
        begun,
        outline.id,
        outline.experience,
        outline.verdict,
        outline.action == "none" and not outline.drift.drifted,
        None if outline.drift.level is None else outline.drift.check or 0,
        outline.version,
        cycle.champion_before,
        json.dumps([evaluation.newest, evaluation.row]) if evaluation else None,
        outline.model_dump_json(exclude_defaults=True),
    )


def _prepare(path: Path) -> bool:
    """Make the index of this format, in place of a damaged one; return whether this user may write to it."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=WAIT)) as connection:
                _make_table(connection)
            return os.access(path, os.W_OK)
        except (OSError, sqlite3.OperationalError):
            return False
        except sqlite3.DatabaseError:  # damaged
            path.unlink()
    return False


def _make_table(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
        return
    connection.executescript(
        f"BEGIN IMMEDIATE; DROP TABLE IF EXISTS cycles; {TABLE} PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def _read(row: tuple[Any, ...]) -> CycleOutline:
    return CycleOutline.model_validate_json(row[0])
