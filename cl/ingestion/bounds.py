"""Bounds while files are read: however little a file holds on disk, its rows fit into memory.

A small compressed file may unpack to anything: a single line of gigabytes, a thousand columns in each line, or one long
value that a Parquet file stores once and repeats in every row.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path
from typing import IO

from cl.errors import SourceError
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import one_line, readable_path

ROW_CHARS = 10_000_000
"""Longer rows are quarantined."""
CHUNK_CHARS = 32_000_000
"""A chunk ends with the row that reaches this length."""
CHUNK_VALUES = 2_000_000
"""A chunk ends with the row that reaches this number of values, empty ones included."""
COLUMNS = 1_000
"""Files with more columns are refused."""
RATIO, UNPACKED = 200, 64_000_000
"""A file may unpack to this many times its size, or to this many bytes, whichever is more."""
SHOWN = 1_000
"""Characters of a row that is too long that are kept in quarantine."""
BUFFER = 1 << 17
GZIP = b"\x1f\x8b"
UTF_8 = "utf-8-sig"
"""UTF-8, with or without a mark at the beginning."""

TOO_LONG = f"row longer than {ROW_CHARS:,} characters"


def too_long(beginning: str) -> UnreadableRow:
    """Return what is kept of a row that is too long."""
    return UnreadableRow(beginning[:SHOWN], TOO_LONG)


def bounded_lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file; a line that is longer than `ROW_CHARS` is cut after one more character."""
    for lines in blocks_of_lines(file):
        yield from lines


def blocks_of_lines(file: IO[str]) -> Iterator[list[str]]:
    """Yield the lines of `bounded_lines` in lists of about `BUFFER` characters.

    Args:
        file: opened without translation of line ends.
    """
    parts: list[str] = []  # of a line whose end was not read yet
    skips = False
    while block := file.read(BUFFER):
        block += file.read(1) if block.endswith("\r") else ""  # the other half of \r\n
        if skips:
            first = _split(block)[0]
            skips = not first.endswith(("\n", "\r"))
            block = block[len(first) :]
        parts.append(block)
        if "\n" in block or "\r" in block:
            lines = _split("".join(parts))
            parts = [] if lines[-1].endswith("\n") else [lines.pop()]
            if lines:
                yield _cut(lines)
        elif sum(map(len, parts)) > ROW_CHARS + 1:  # the first may be an empty line that ends with \r
            yield _cut(_split("".join(parts)))
            parts, skips = [], True
    if lines := _split("".join(parts)):
        yield _cut(lines)


def _cut(lines: list[str]) -> list[str]:
    return lines if max(map(len, lines)) <= ROW_CHARS else [line[: ROW_CHARS + 1] for line in lines]


def _split(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a file, plain or gzipped, whatever it is called."""
    file = path.open("rb")
    if file.peek(len(GZIP))[: len(GZIP)] != GZIP:
        return file
    file.close()
    return io.BufferedReader(_Unpacked(path), BUFFER)


def open_text(path: Path, encoding: str = UTF_8) -> IO[str]:
    """Open a text file, plain or gzipped; bytes that are not UTF-8 become surrogates, in other encodings an error."""
    errors = "surrogateescape" if encoding == UTF_8 else "strict"
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=errors, newline="")


def refuse_columns(origin: str, names: Collection[Hashable], *, leaves: int = 0) -> None:
    """Refuse an input with too many columns, or with two of one name.

    Args:
        origin: where the rows come from, for the message.
        names: of the columns.
        leaves: number of columns with those inside nested ones, if that is known.

    Raises:
        SourceError: there are more than `COLUMNS`, or a name occurs twice.
    """
    if max(len(names), leaves) > COLUMNS:
        raise SourceError(f"{origin}: has more than {COLUMNS:,} columns; leave out those that are not needed")
    if len(set(names)) < len(names):
        repeated = sorted(repr(name) for name, count in Counter(names).items() if count > 1)
        raise SourceError(one_line(f"{origin}: names a column twice: {', '.join(repeated)}; rename one of them"))


def refuse_unpacked(path: Path, unpacked: int, size: int) -> None:
    """Refuse a compressed file that unpacks to far more than its size.

    Args:
        path: the file.
        unpacked: bytes that it has unpacked to so far, or that it says it will.
        size: its own bytes.

    Raises:
        SourceError: it unpacks to more than `UNPACKED` bytes and `RATIO` times its size.
    """
    if unpacked > max(UNPACKED, RATIO * size):
        raise SourceError(
            f"{readable_path(path)}: unpacks to more than {RATIO} times its {size:,} bytes; "
            "if its rows are what you expect, give them as plain CSV or JSON lines"
        )


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file; reading fails when they are far more than the file's own."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._size, self._unpacked = path, path.stat().st_size, 0
        self._file = gzip.GzipFile(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(buffer)
        self._unpacked += count
        refuse_unpacked(self._path, self._unpacked, self._size)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
