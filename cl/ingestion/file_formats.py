"""Rows of one file, by its format: CSV, JSON lines (both also gzipped), Parquet."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cl.errors import SourceError

UNREADABLE = "__unreadable__"
"""Column of a chunk with the raw line where no row could be read; absent where all could."""

CHUNK_CHARS = 32_000_000
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")


def chunks_of(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file of a known format, so many at a time.

    Raises:
        SourceError: the file is empty or damaged; the message names it.
    """
    suffix = format_of(path)
    assert suffix is not None
    refuse_empty(path)
    try:
        yield from READERS[suffix.lower()](path, chunk_rows)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: is not a whole gzip file: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def refuse_empty(path: Path) -> None:
    """Do nothing for a file that holds something.

    Raises:
        SourceError: it holds nothing, or is not there.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    if size == 0:
        raise SourceError(f"{path}: is empty (0 bytes)")


def format_of(path: Path) -> str | None:
    """Return the known suffix that a file's name ends with, or None."""
    return next((path.name[-len(one) :] for one in READERS if path.name.lower().endswith(one)), None)


class _Lines:
    """Lines that can be taken back: a stray quote must not swallow the rows after it."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.record.append(line)
        return line

    def give_up_first(self) -> str:
        """Return the record's first line, and have the others read again as rows of their own."""
        self._ahead.extendleft(reversed(self.record[1:]))
        return self.record[0].rstrip("\r\n")


def _csv_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    with _open(path) as file:
        lines = _Lines(file)
        reader = csv.reader(lines, strict=True)
        names = _header(path, reader)
        rows: list[list[str | None]] = []
        unreadable: dict[int, str] = {}
        size = 0
        found = False
        while True:
            lines.record.clear()
            try:
                fields: list[Any] = next(reader)
            except StopIteration:
                break
            except csv.Error:
                fields = []
                unreadable[len(rows)] = lines.give_up_first()
            else:
                if not fields:
                    continue
                if len(fields) != len(names):
                    unreadable[len(rows)] = lines.give_up_first()
            size += sum(map(len, lines.record))
            rows.append([None] * len(names) if len(rows) in unreadable else fields)
            if len(rows) >= chunk_rows or size > CHUNK_CHARS:
                yield _frame(names, rows, unreadable)
                rows, unreadable, size, found = [], {}, 0, True
        if rows:
            yield _frame(names, rows, unreadable)
        elif not found:
            raise SourceError(f"{path}: is empty: it holds a header but no rows")


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise SourceError(f"{path}: the header cannot be read: {error}") from None
    if names and names[0].startswith(UTF_16):
        raise SourceError(f"{path}: is UTF-16; save it as UTF-8")
    names = [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip() for name in names]
    if not names:
        raise SourceError(f"{path}: is empty: its first line holds no column names")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: the header names a column twice: {', '.join(map(repr, twice))}")
    return names


def _frame(names: list[str], rows: list[list[str | None]], unreadable: dict[int, str]) -> pd.DataFrame:
    columns = {
        name: pd.Series([value or None for value in values], dtype=object)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return _with_unreadable(pd.DataFrame(columns), unreadable)


def _json_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    names: dict[str, None] = {}
    found = False
    with _open(path) as file:
        for lines in _cut(file, chunk_rows):
            records: list[dict[str, Any]] = []
            unreadable: dict[int, str] = {}
            for line in lines:
                record = _parsed(line)
                if record is None:
                    unreadable[len(records)] = line.rstrip("\r\n")
                records.append(record or {})
                names.update(dict.fromkeys(record or ()))
            found = True
            columns = {name: pd.Series([one.get(name) for one in records], dtype=object) for name in names}
            yield _with_unreadable(pd.DataFrame(columns, index=range(len(records))), unreadable)
    if not found:
        raise SourceError(f"{path}: is empty: it holds no line")


def _cut(lines: Iterator[str], chunk_rows: int) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for line in lines:
        if not line.isspace():
            part.append(line)
            size += len(line)
        if len(part) >= chunk_rows or size > CHUNK_CHARS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _with_unreadable(frame: pd.DataFrame, unreadable: dict[int, str]) -> pd.DataFrame:
    if unreadable:
        frame[UNREADABLE] = pd.Series([unreadable.get(at) for at in range(len(frame))], dtype=object)
    return frame


def _parquet_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path, memory_map=True) as file:
        if file.metadata.num_rows == 0:
            raise SourceError(f"{path}: is empty: it holds columns but no rows")
        for batch in file.iter_batches(batch_size=chunk_rows):
            try:
                yield batch.to_pandas(integer_object_nulls=True)
            except (UnicodeDecodeError, pa.ArrowException):
                yield _as_bytes(batch).to_pandas(integer_object_nulls=True)


def _as_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    texts = (pa.string(), pa.large_string())
    columns = [one.cast(pa.binary()) if one.type in texts else one for one in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


READERS: dict[str, Callable[[Path, int], Iterator[pd.DataFrame]]] = {
    ".csv": _csv_chunks,
    ".csv.gz": _csv_chunks,
    ".jsonl": _json_chunks,
    ".jsonl.gz": _json_chunks,
    ".ndjson": _json_chunks,
    ".ndjson.gz": _json_chunks,
    ".parquet": _parquet_chunks,
}


def _open(path: Path) -> IO[str]:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    return opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")  # type: ignore[operator]
