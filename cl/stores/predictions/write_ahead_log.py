"""A file that is written ahead: one JSON line an entry, each with its checksum, so that a torn end is seen as one.

A line stands by itself: what a full disk or a lost machine has torn costs that line and no other. Its writer holds a
lock on the file that the kernel frees when the writer dies, so that others know a file that nobody writes any more.
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
"""Ending of a file that has no name yet; it is empty."""
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WriteAheadLog:
    """A new file in a folder, open for this process alone."""

    def __init__(self, folder: Path, ending: str) -> None:
        """Create the file and make its name durable; names sort by time.

        It gets its name when it is locked, so that nobody ever sees it as one that nobody writes.

        Raises:
            OSError: it cannot be created.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.created = time.time()
        self.size = 0
        self.broken = False
        self.path = folder / f"{time.time_ns():020d}-{os.getpid()}{ending}"
        draft = self.path.with_name(self.path.name + DRAFT)
        self._file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(self.path)
        sync_folder(folder)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries; after a SIGKILL they are there, after a loss of power only once `sync` has returned.

        Raises:
            OSError: the disk is full or fails; none of them is there, unless the file is `broken`.
        """
        data = b"".join(map(_line, entries))
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            self._take_back()
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Return when everything written is on the disk.

        Raises:
            OSError: it is not, and what was written since the last time may be lost; the file is `broken`.
        """
        try:
            os.fdatasync(self._file)
        except OSError:
            self.broken = True  # the kernel may have dropped the pages: a second call would find nothing to complain of
            raise

    def close(self) -> None:
        """Leave the file to whoever makes Parquet of it."""
        os.close(self._file)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            self.broken = True


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the whole entries of a file, even of one that is being written; torn lines are left out."""
    torn = 0
    with path.open("rb") as file:
        for line in file:
            entry = _entry(line)
            if entry is not None:
                yield entry
            torn += entry is None
    if torn:
        log.info("%s: %d torn lines left out", path, torn)


@contextmanager
def abandoned_file(path: Path) -> Iterator[bool]:
    """Hold a file that no process writes any more; False where one does, or where the file is gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists()  # another may have taken it away between the two calls
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _line(entry: Entry) -> bytes:
    content = _encode(entry).encode(
        "utf-8", "replace"
    )  # half a surrogate pair, which JSON can spell and Parquet cannot
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _entry(line: bytes) -> Entry | None:
    content = line[9:-1]
    if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(content):
        return None
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
