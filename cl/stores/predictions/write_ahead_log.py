"""A write-ahead log: one JSON line per entry, each with a checksum that reveals a torn line.

Lines are independent: a full disk or a crashed machine costs only the line that it tears. The writer locks the file,
and the kernel releases the lock when the writer dies, so other processes recognise a file that nobody writes any more.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
Entry = dict[str, Any]
DRAFT = ".draft"
"""Suffix of a file that has no final name yet; it is empty."""
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WriteAheadLog:
    """A new log file in a folder, open for writing in this process only."""

    def __init__(self, folder: Path, ending: str) -> None:
        """Create the file and make its name durable; names sort by time.

        It gets its name only after it is locked, so that no process takes it for abandoned.

        Raises:
            OSError: the file cannot be created.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.created = time.time()
        self.size = 0
        self.broken = False
        self.path, self._file = _create_locked(folder, ending)
        sync_folder(folder)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries; they survive a SIGKILL at once, and a power failure once `sync` has returned.

        Raises:
            OSError: the disk is full or fails; none of the entries was written, unless the file is `broken`.
        """
        data = b"".join(map(_format_line, entries))
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            self._undo_append()
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Flush everything written to the disk.

        Raises:
            OSError: that failed, and entries since the last call may be lost; the file is `broken`.
        """
        try:
            os.fdatasync(self._file)
        except OSError:
            self.broken = True  # the kernel may have dropped the pages, and a second call would succeed
            raise

    def close(self) -> None:
        """Close the file, which releases it for compaction."""
        os.close(self._file)

    def _undo_append(self) -> None:
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            self.broken = True


def _create_locked(folder: Path, ending: str) -> tuple[Path, int]:
    """Return a new file's name and its descriptor, which holds its lock.

    Until the draft is locked, another process may take it for abandoned and remove it: then another one is made.
    """
    while True:
        path = folder / f"{time.time_ns():020d}-{os.getpid()}{ending}"
        draft = path.with_name(path.name + DRAFT)
        file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
            return path, file
        except (BlockingIOError, FileNotFoundError):
            os.close(file)
            folder.stat()  # where the folder itself has gone, there is nothing to try again
        except OSError:
            os.close(file)
            raise


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the intact entries of a file, even while it is being written; torn lines are skipped."""
    torn = 0
    with path.open("rb") as file:
        for line in file:
            entry = _parse_line(line)
            if entry is not None:
                yield entry
            torn += entry is None
    if torn:
        log.info("%s: skipped %d torn lines", path, torn)


@contextmanager
def abandoned_file(path: Path) -> Iterator[bool]:
    """Lock a file that no process writes any more; yield False if one does, or if the file is gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists()  # another process may have removed it between the two calls
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _format_line(entry: Entry) -> bytes:
    content = _encode(entry).encode("utf-8", "replace")  # JSON allows a lone surrogate, Parquet does not
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _parse_line(line: bytes) -> Entry | None:
    content = line[9:-1]
    if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(content):
        return None
    try:
        entry = json.loads(content)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
