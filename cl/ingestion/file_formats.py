"""Read one file by its format: CSV or JSON lines (plain or gzipped), or Parquet."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cl.errors import PerennialError, SourceError
from cl.ingestion.bounds import (
    CHUNK_CHARS,
    CHUNK_VALUES,
    ROW_CHARS,
    TOO_LONG,
    bounded_lines,
    open_text,
    refuse_columns,
    too_long,
)
from cl.ingestion.internal_columns import UNREADABLE, UnreadableRow
from cl.ingestion.parquet_file import parquet_chunks
from cl.ingestion.values import describe_error, one_line, readable_path

__all__ = ["READERS", "UNREADABLE", "format_of", "read_chunks", "refuse_empty"]

log = logging.getLogger(__name__)
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")


def read_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file of a known format in chunks of at most ``chunk_rows``.

    Raises:
        SourceError: the file is empty or damaged, or cannot be read for any other reason; the message names it.
    """
    suffix = format_of(path)
    assert suffix is not None
    refuse_empty(path)
    rows_too_long = 0
    try:
        for chunk in READERS[suffix.lower()](path, chunk_rows):
            if UNREADABLE in chunk:
                rows_too_long += sum(row.reason == TOO_LONG for row in chunk[UNREADABLE].dropna())
            yield chunk
    except PerennialError:
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{readable_path(path)}: is not a complete gzip file: {one_line(str(error))}") from None
    except Exception as error:  # of whatever type: an odd file must not look like a fault of the program
        raise SourceError(f"{readable_path(path)}: cannot be read: {describe_error(error)}") from error
    if rows_too_long:
        name, rows = readable_path(path), f"{rows_too_long} row" + ("" if rows_too_long == 1 else "s")
        log.warning("%s: quarantined %s longer than %s characters; shorten or split them", name, rows, f"{ROW_CHARS:,}")


def refuse_empty(path: Path) -> None:
    """Refuse an empty file.

    Raises:
        SourceError: the file is empty or does not exist.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{readable_path(path)}: cannot be read: {describe_error(error)}") from None
    if size == 0:
        raise SourceError(f"{readable_path(path)}: is empty (0 bytes)")


def format_of(path: Path) -> str | None:
    """Return the known suffix that a file's name ends with, or None."""
    return next((path.name[-len(suffix) :] for suffix in READERS if path.name.lower().endswith(suffix)), None)


class _RowTooLongError(Exception):
    """A record of a CSV file has become longer than a row may be."""


class _PushbackLines:
    """Lines that can be pushed back: a stray quote must not swallow the rows after it."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._pushed_back: deque[str] = deque()
        self._record: list[str] = []
        self.chars = 0
        """Characters of the record that is being read."""

    def __iter__(self) -> _PushbackLines:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines)
        self._record.append(line)
        self.chars += len(line)
        if self.chars > ROW_CHARS:
            raise _RowTooLongError
        return line

    def begin_record(self) -> None:
        """Start a new record with the next line."""
        self._record.clear()
        self.chars = 0

    def give_up_first(self) -> str:
        """Return the record's first line, and push the others back to be read as separate rows."""
        self._pushed_back.extendleft(reversed(self._record[1:]))
        return self._record[0].rstrip("\r\n")


def _csv_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    with open_text(path) as file:
        lines = _PushbackLines(bounded_lines(file))
        reader = csv.reader(lines, strict=True)
        names = _read_header(path, reader)
        chunk_rows = min(chunk_rows, max(1, CHUNK_VALUES // len(names)))
        rows: list[list[str | None]] = []
        unreadable: dict[int, UnreadableRow] = {}
        size = 0
        has_rows = False
        while True:
            lines.begin_record()
            fields: list[Any] = []
            try:
                fields = next(reader)
            except StopIteration:
                break
            except _RowTooLongError:
                unreadable[len(rows)] = too_long(lines.give_up_first())
            except csv.Error:
                unreadable[len(rows)] = UnreadableRow(lines.give_up_first())
            else:
                if not fields:
                    continue
                if len(fields) != len(names):
                    unreadable[len(rows)] = UnreadableRow(lines.give_up_first())
            size += lines.chars
            rows.append([None] * len(names) if len(rows) in unreadable else fields)
            if len(rows) >= chunk_rows or size > CHUNK_CHARS:
                yield _to_frame(names, rows, unreadable)
                rows, unreadable, size, has_rows = [], {}, 0, True
        if rows:
            yield _to_frame(names, rows, unreadable)
        elif not has_rows:
            raise SourceError(f"{readable_path(path)}: is empty: it has a header but no rows")


def _read_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise SourceError(f"{readable_path(path)}: the header cannot be read: {error}") from None
    except _RowTooLongError:
        raise SourceError(
            f"{readable_path(path)}: the header is longer than {ROW_CHARS:,} characters; is this a CSV file?"
        ) from None
    if names and names[0].startswith(UTF_16):
        raise SourceError(f"{readable_path(path)}: is UTF-16; save it as UTF-8")
    names = [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip() for name in names]
    if not names:
        raise SourceError(f"{readable_path(path)}: is empty: its first line has no column names")
    refuse_columns(readable_path(path), names)
    return names


def _to_frame(names: list[str], rows: list[list[str | None]], unreadable: dict[int, UnreadableRow]) -> pd.DataFrame:
    columns = {
        name: pd.Series([value or None for value in values], dtype=object)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return _add_unreadable(pd.DataFrame(columns), unreadable)


def _json_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    names: dict[str, None] = {}
    records: list[dict[str, Any]] = []
    unreadable: dict[int, UnreadableRow] = {}
    size = values = 0
    has_lines = False
    with open_text(path) as file:
        for line in bounded_lines(file):
            if line.isspace():
                continue
            has_lines = True
            record = _parse_record(line)
            if isinstance(record, UnreadableRow):
                unreadable[len(records)], record = record, {}
            records.append(record)
            if not record.keys() <= names.keys():
                names.update(dict.fromkeys(record))
                refuse_columns(readable_path(path), names)
            size += len(line)
            values += line.count("[") + line.count("{") + line.count(",")
            cells = len(records) * len(names)
            if len(records) >= chunk_rows or size > CHUNK_CHARS or max(values, cells) > CHUNK_VALUES:
                yield _records_to_frame(names, records, unreadable)
                records, unreadable, size, values = [], {}, 0, 0
    if records:
        yield _records_to_frame(names, records, unreadable)
    if not has_lines:
        raise SourceError(f"{readable_path(path)}: is empty: it has no lines")


def _parse_record(line: str) -> dict[str, Any] | UnreadableRow:
    if len(line) > ROW_CHARS:
        return too_long(line)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else UnreadableRow(line.rstrip("\r\n"))


def _records_to_frame(
    names: dict[str, None], records: list[dict[str, Any]], unreadable: dict[int, UnreadableRow]
) -> pd.DataFrame:
    columns = {name: pd.Series([row.get(name) for row in records], dtype=object) for name in names}
    return _add_unreadable(pd.DataFrame(columns, index=range(len(records))), unreadable)


def _add_unreadable(frame: pd.DataFrame, unreadable: dict[int, UnreadableRow]) -> pd.DataFrame:
    if unreadable:
        frame[UNREADABLE] = pd.Series([unreadable.get(index) for index in range(len(frame))], dtype=object)
    return frame


READERS: dict[str, Callable[[Path, int], Iterator[pd.DataFrame]]] = {
    ".csv": _csv_chunks,
    ".csv.gz": _csv_chunks,
    ".jsonl": _json_chunks,
    ".jsonl.gz": _json_chunks,
    ".ndjson": _json_chunks,
    ".ndjson.gz": _json_chunks,
    ".parquet": parquet_chunks,
}
