"""CSV with any separator and quoting; the dialect is judged before the first row."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.bounds import (
    CHUNK_CHARS,
    CHUNK_VALUES,
    ROW_CHARS,
    blocks_of_lines,
    open_text,
    refuse_columns,
    too_long,
)
from cl.ingestion.formats.dialect import Dialect
from cl.ingestion.formats.encoding import Encoding
from cl.ingestion.formats.rows import add_unreadable
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import readable_path


class _RowTooLongError(Exception):
    """A record of a CSV file has become longer than a row may be."""


class _Lines:
    """Lines that can be pushed back: a stray quote must not swallow the rows after it."""

    def __init__(self, blocks: Iterator[list[str]]) -> None:
        self._blocks = blocks
        self._waiting: deque[str] = deque()
        self._record: list[str] = []
        self.chars = 0
        """Characters of the record that is being read."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self._waiting:
            self._waiting.extend(next(self._blocks))
        line = self._waiting.popleft()
        self._record.append(line)
        self.chars += len(line)
        if self.chars > ROW_CHARS:
            raise _RowTooLongError
        return line

    def take(self, count: int) -> list[str]:
        """Return at most that many lines that can be had at once; none at the end."""
        if not self._waiting:
            self._waiting.extend(next(self._blocks, ()))
        if count >= len(self._waiting):
            lines = list(self._waiting)
            self._waiting.clear()
            return lines
        return [self._waiting.popleft() for _ in range(count)]

    def push_back(self, lines: list[str]) -> None:
        """Have lines read again, and after them those of the record."""
        self._waiting.extendleft(reversed(lines + self._record))
        self.begin_record()

    def begin_record(self) -> None:
        """Start a new record with the next line."""
        self._record.clear()
        self.chars = 0

    def give_up_first(self) -> str:
        """Return the record's first line, and push the others back to be read as separate rows."""
        first, *others = self._record
        self.begin_record()
        self.push_back(others)
        return first.rstrip("\r\n")


@dataclass
class _Rows:
    """The rows of a chunk: fields, and by their positions the lines that are no rows."""

    names: list[str]
    fields: list[list[str | None]] = field(default_factory=list)
    unreadable: dict[int, UnreadableRow] = field(default_factory=dict)
    chars: int = 0

    def add_unreadable(self, row: UnreadableRow) -> None:
        """Append a line that is no row."""
        self.unreadable[len(self.fields)] = row
        self.fields.append([None] * len(self.names))
        self.chars += len(row.line)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table of texts, None where a field is empty."""
        columns = {
            name: pd.Series([value or None for value in values], dtype=object)
            for name, values in zip(self.names, zip(*self.fields, strict=True), strict=True)
        }
        return add_unreadable(pd.DataFrame(columns), self.unreadable)


def csv_chunks(path: Path, chunk_rows: int, encoding: Encoding, dialect: Dialect) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file in chunks; lines that are no rows are unreadable, each by itself.

    Raises:
        SourceError: it has no rows, too many columns or two of one name.
    """
    with open_text(path, encoding.codec) as file:
        lines = _Lines(blocks_of_lines(file))
        if dialect.announced:
            next(lines)
            lines.begin_record()
        names = _read_header(path, dialect.reader(lines))
        lines.begin_record()
        chunk_rows = min(chunk_rows, max(1, CHUNK_VALUES // len(names)))
        rows = _Rows(names)
        has_rows = False
        while block := lines.take(chunk_rows - len(rows.fields)):
            if not _read_at_once(block, lines, dialect, rows):
                lines.push_back(block)
                _read_singly(len(block), lines, dialect, rows)
            if len(rows.fields) >= chunk_rows or rows.chars > CHUNK_CHARS:
                yield rows.frame()
                rows, has_rows = _Rows(names), True
        if rows.fields:
            yield rows.frame()
        elif not has_rows:
            raise SourceError(f"{readable_path(path)}: is empty: it has a header but no rows")


def _read_at_once(block: list[str], lines: _Lines, dialect: Dialect, rows: _Rows) -> bool:
    """Read the records that begin in a block; False if any of them is no row of this file.

    Args:
        block: the next lines.
        lines: those after the block, which its last record may need.
        dialect: of the file.
        rows: what was read is added to it.
    """
    lines.begin_record()
    reader: Any = dialect.reader(chain(block, lines))
    records: list[list[str | None]] = []
    try:
        while reader.line_num < len(block):
            records.append(next(reader))
    except (csv.Error, _RowTooLongError):
        return False
    width, chars = len(rows.names), sum(map(len, block))
    if chars > ROW_CHARS or not {len(record) for record in records} <= {0, width}:
        return False
    rows.fields += filter(None, records)
    rows.chars += chars + lines.chars
    lines.begin_record()
    return True


def _read_singly(count: int, lines: _Lines, dialect: Dialect, rows: _Rows) -> None:
    """Read at most that many records one by one; of one that is no row of this file, the first line is unreadable."""
    for _ in range(count):
        lines.begin_record()
        try:
            record: list[Any] = next(dialect.reader(lines), [])
        except _RowTooLongError:
            rows.add_unreadable(too_long(lines.give_up_first()))
        except csv.Error:
            rows.add_unreadable(UnreadableRow(lines.give_up_first()))
        else:
            rows.chars += lines.chars
            if len(record) == len(rows.names):
                rows.fields.append(record)
            elif record:
                rows.add_unreadable(UnreadableRow(lines.give_up_first()))
        if rows.chars > CHUNK_CHARS:
            return


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
