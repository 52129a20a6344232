"""Cache a read of a SQLite database until the database changes; the check takes microseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
SQLITE = "sqlite:///"


class SqliteCachedRead(Generic[T]):
    """Calls `read` once, and again whenever the database at a URI may have changed; for use by one thread.

    SQLite's `PRAGMA data_version` shows whether another connection has committed anything. Any other database, and one
    that cannot be queried, is read at each call.
    """

    def __init__(self, uri: str, read: Callable[[], T]) -> None:
        self._path = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
        self._read = read
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._cached: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return what `read` would return now."""
        state = self._state()  # before the read: a write during it shows at the next call
        if state is not None and self._cached is not None and self._cached[0] == state:
            return self._cached[1]
        value = self._read()
        self._cached = None if state is None else (state, value)
        return value

    def _state(self) -> int | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
            if self._connection is None or self._file != (stat.st_dev, stat.st_ino):
                self._cached, self._file = None, (stat.st_dev, stat.st_ino)
                self._connection = _connect(self._path)
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except (OSError, sqlite3.Error):  # `read` reports what is wrong
            self._connection = None
            return None


def _connect(path: Path) -> sqlite3.Connection:
    """Return a read-only connection that never waits for a lock."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=0, check_same_thread=False)
