"""The rows of small files, kept in memory while the files stay as they are: to open one costs more than to read it.

An experience never changes, and a cycle reads its rows for several purposes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

SMALL_BYTES = 64 * 1024
"""Files of this size on disk, at most, are kept."""
MOST_BYTES = 32 * 1024 * 1024
"""Bytes of all tables that are kept; those that were not read for longest make room."""


class _Stamp(NamedTuple):
    """What changes with a file."""

    changed: int
    size: int
    inode: int


class KeptTables:
    """Tables by file; any thread may ask for one.

    Args:
        most: bytes of all tables, at most.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes, self._lock = most, 0, Lock()
        self._tables: OrderedDict[Path, tuple[_Stamp, pa.Table]] = OrderedDict()

    def read(self, path: Path, read: Callable[[Path], pa.Table]) -> pa.Table:
        """Return a file's table: the kept one if the file is as it was, else what ``read`` returns.

        Raises:
            OSError: the file is missing.
        """
        stat = path.stat()
        if stat.st_size > SMALL_BYTES:
            return read(path)
        stamp = _Stamp(stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with self._lock:
            known = self._tables.get(path)
            if known is not None and known[0] == stamp:
                self._tables.move_to_end(path)
                return known[1]
        table = read(path)
        with self._lock:
            self._drop(path)
            self._tables[path] = stamp, table
            self._bytes += table.nbytes
            while self._bytes > self._most:
                self._drop(next(iter(self._tables)))
        return table

    def _drop(self, path: Path) -> None:
        if (known := self._tables.pop(path, None)) is not None:
            self._bytes -= known[1].nbytes
