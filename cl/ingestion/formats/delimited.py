"""CSV with any separator and quoting; the dialect is judged before the first row."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cl.errors import SourceError
from cl.ingestion.bounds import CHUNK_CHARS, CHUNK_VALUES, ROW_CHARS, bounded_lines, open_text, refuse_columns, too_long
from cl.ingestion.formats.dialect import Dialect
from cl.ingestion.formats.encoding import Encoding
from cl.ingestion.formats.rows import add_unreadable
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import readable_path


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


def csv_chunks(path: Path, chunk_rows: int, encoding: Encoding, dialect: Dialect) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file in chunks; lines that are no rows are unreadable, each by itself.

    Raises:
        SourceError: it has no rows, too many columns or two of one name.
    """
    with open_text(path, encoding.codec) as file:
        lines = _PushbackLines(bounded_lines(file))
        if dialect.announced:
            next(lines)
            lines.begin_record()
        reader = dialect.reader(lines)
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
    return add_unreadable(pd.DataFrame(columns), unreadable)
