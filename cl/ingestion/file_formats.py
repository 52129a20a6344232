"""Read one file by its format: CSV or JSON lines (plain or gzipped), or Parquet."""

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
"""Column of a chunk that holds the raw line of each unreadable row; absent if every row could be read."""

CHUNK_CHARS = 32_000_000
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")


def read_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file of a known format in chunks of at most ``chunk_rows``.

    Raises:
        SourceError: the file is empty or damaged; the message names it.
    """
    suffix = format_of(path)
    assert suffix is not None
    refuse_empty(path)
    try:
        yield from READERS[suffix.lower()](path, chunk_rows)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: is not a complete gzip file: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def refuse_empty(path: Path) -> None:
    """Refuse an empty file.

    Raises:
        SourceError: the file is empty or does not exist.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    if size == 0:
        raise SourceError(f"{path}: is empty (0 bytes)")


def format_of(path: Path) -> str | None:
    """Return the known suffix that a file's name ends with, or None."""
    return next((path.name[-len(suffix) :] for suffix in READERS if path.name.lower().endswith(suffix)), None)


class _PushbackLines:
    """Lines that can be pushed back: a stray quote must not swallow the rows after it."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._pushed_back: deque[str] = deque()
        self.record: list[str] = []

    def __iter__(self) -> _PushbackLines:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines)
        self.record.append(line)
        return line

    def give_up_first(self) -> str:
        """Return the record's first line, and push the others back to be read as separate rows."""
        self._pushed_back.extendleft(reversed(self.record[1:]))
        return self.record[0].rstrip("\r\n")


def _csv_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    with _open(path) as file:
        lines = _PushbackLines(file)
        reader = csv.reader(lines, strict=True)
        names = _read_header(path, reader)
        rows: list[list[str | None]] = []
        unreadable: dict[int, str] = {}
        size = 0
        has_rows = False
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
                yield _to_frame(names, rows, unreadable)
                rows, unreadable, size, has_rows = [], {}, 0, True
        if rows:
            yield _to_frame(names, rows, unreadable)
        elif not has_rows:
            raise SourceError(f"{path}: is empty: it has a header but no rows")


def _read_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise SourceError(f"{path}: the header cannot be read: {error}") from None
    if names and names[0].startswith(UTF_16):
        raise SourceError(f"{path}: is UTF-16; save it as UTF-8")
    names = [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip() for name in names]
    if not names:
        raise SourceError(f"{path}: is empty: its first line has no column names")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SourceError(f"{path}: the header names a column twice: {', '.join(map(repr, repeated))}")
    return names


def _to_frame(names: list[str], rows: list[list[str | None]], unreadable: dict[int, str]) -> pd.DataFrame:
    columns = {
        name: pd.Series([value or None for value in values], dtype=object)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return _add_unreadable(pd.DataFrame(columns), unreadable)


def _json_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    names: dict[str, None] = {}
    has_lines = False
    with _open(path) as file:
        for lines in _split_lines(file, chunk_rows):
            records: list[dict[str, Any]] = []
            unreadable: dict[int, str] = {}
            for line in lines:
                record = _parse_record(line)
                if record is None:
                    unreadable[len(records)] = line.rstrip("\r\n")
                records.append(record or {})
                names.update(dict.fromkeys(record or ()))
            has_lines = True
            columns = {name: pd.Series([row.get(name) for row in records], dtype=object) for name in names}
            yield _add_unreadable(pd.DataFrame(columns, index=range(len(records))), unreadable)
    if not has_lines:
        raise SourceError(f"{path}: is empty: it has no lines")


def _split_lines(lines: Iterator[str], chunk_rows: int) -> Iterator[list[str]]:
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


def _parse_record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _add_unreadable(frame: pd.DataFrame, unreadable: dict[int, str]) -> pd.DataFrame:
    if unreadable:
        frame[UNREADABLE] = pd.Series([unreadable.get(index) for index in range(len(frame))], dtype=object)
    return frame


def _parquet_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path, memory_map=True) as file:
        if file.metadata.num_rows == 0:
            raise SourceError(f"{path}: is empty: it has columns but no rows")
        for batch in file.iter_batches(batch_size=chunk_rows):
            try:
                yield batch.to_pandas(integer_object_nulls=True)
            except (UnicodeDecodeError, pa.ArrowException):
                yield _texts_to_bytes(batch).to_pandas(integer_object_nulls=True)


def _texts_to_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    text_types = (pa.string(), pa.large_string())
    columns = [column.cast(pa.binary()) if column.type in text_types else column for column in batch.columns]
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
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
