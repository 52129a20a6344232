"""What was read from a SQLite database, kept until somebody has written to it: a look that costs microseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
SQLITE = "sqlite:///"


class SqliteCachedRead(Generic[T]):
    """Calls `read`, and again whenever the database of a URI may have changed since; for one thread.

    SQLite tells through `PRAGMA data_version` whether another connection has committed anything. A database of another
    kind, and one that cannot be asked, is read at each call.
    """

    def __init__(self, uri: str, read: Callable[[], T]) -> None:
        self._path = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
        self._read = read
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._kept: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return what `read` would return now."""
        state = self._state()  # before it is read: what is written meanwhile shows at the next call
        if state is not None and self._kept is not None and self._kept[0] == state:
            return self._kept[1]
        found = self._read()
        self._kept = None if state is None else (state, found)
        return found

    def _state(self) -> int | None:
        if self._path is None:
            return None
        try:
            there = self._path.stat()
            if self._connection is None or self._file != (there.st_dev, there.st_ino):
                self._kept, self._file = None, (there.st_dev, there.st_ino)
                self._connection = _opened(self._path)
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except (OSError, sqlite3.Error):  # whatever is wrong with it, the reader says it better
            self._connection = None
            return None


def _opened(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads, and waits for nobody."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=0, check_same_thread=False)
