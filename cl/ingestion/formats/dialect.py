"""How a CSV file separates and quotes its fields, judged by its header, its first rows and, of its quotes, all rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from cl.ingestion.bounds import ROW_CHARS, bounded_lines, open_bytes, open_text
from cl.ingestion.formats.encoding import Encoding

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
HEAD_LINES, HEAD_CHARS = 200, 1 << 18
BLOCK = 1 << 20


@dataclass(frozen=True)
class Dialect:
    """``quote`` is empty where quotation marks are letters like any other; ``announced``: a first line `sep=;`."""

    separator: str = ","
    quote: str = '"'
    escape: str = ""
    announced: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Return a reader of lines; it raises `csv.Error` where quotes are not as this dialect has them."""
        options: dict[str, Any] = {"delimiter": self.separator, "strict": True}
        if self.quote:
            options |= {"quotechar": self.quote, "doublequote": not self.escape, "escapechar": self.escape or None}
        else:
            options["quoting"] = csv.QUOTE_NONE
        return csv.reader(lines, **options)

    def __str__(self) -> str:
        marks = {'"': "", "'": ", single quotes"}.get(self.quote, ", no quoting")
        return f"separated by {NAMES[self.separator]}{marks}" + (", quotes behind a backslash" if self.escape else "")


def dialect_of(path: Path, encoding: Encoding) -> Dialect:
    """Return the dialect of a CSV file; commas where nothing speaks for another separator."""
    head = list(head_lines(path, encoding))
    first = head[0] if head else ""
    if first.lower().startswith("sep=") and first.rstrip("\r\n")[4:] in NAMES:
        return _with_quotes(path, encoding, Dialect(first.rstrip("\r\n")[4:], announced=True))
    candidates = [Dialect(separator) for separator in NAMES if separator in first]
    if not candidates:
        return Dialect()
    dialect = candidates[0] if len(candidates) == 1 else max(candidates, key=lambda dialect: _fit(dialect, head))
    fields = first.rstrip("\r\n").split(dialect.separator)
    if all(len(field) > 1 and field.startswith("'") and field.endswith("'") for field in fields):
        dialect = replace(dialect, quote="'")
    return _with_quotes(path, encoding, dialect)


def head_lines(path: Path, encoding: Encoding) -> Iterator[str]:
    """Yield the first lines of a text file, of a bounded number and length."""
    with open_text(path, encoding.codec) as file:
        chars = 0
        for line in islice(bounded_lines(file), HEAD_LINES):
            yield line
            chars += len(line)
            if chars > HEAD_CHARS:
                return


def _fit(dialect: Dialect, head: list[str]) -> tuple[float, bool, int]:
    """Return how well a separator fits: the share of rows as long as the header, and whether it is a comma."""
    whole = head[:-1] if len(head) > 2 else head  # the last may be cut
    counts = Counter(count for count in _field_counts(dialect, whole) if count != 0)
    fields = next((count for count in _field_counts(dialect, head[:1])), 0)
    share = counts[fields] / max(1, counts.total()) if fields > 1 else 0.0
    return round(share, 2), dialect.separator == ",", fields


def _field_counts(dialect: Dialect, lines: Iterable[str]) -> Iterator[int]:
    """Yield the number of fields of each row; -1 for lines that are none, and 0 for empty ones."""
    for line in lines:
        try:
            yield len(next(dialect.reader([line]), []))
        except csv.Error:
            yield -1


def _with_quotes(path: Path, encoding: Encoding, dialect: Dialect) -> Dialect:
    """Return a dialect with the quoting that leaves the fewest lines unreadable.

    Only files in which that may differ are read for it: tables with tabs or bars, which are often written without
    quoting, and files with a quotation mark behind a backslash.
    """
    others = []
    if dialect.separator in "\t|" and _holds(path, b'"'):
        others.append(replace(dialect, quote=""))
    if dialect.quote and _holds(path, f"\\{dialect.quote}".encode()):
        others.append(replace(dialect, escape="\\"))
    if not others:
        return dialect
    return min((dialect, *others), key=lambda other: _count_unreadable(path, encoding, other))


def _holds(path: Path, sought: bytes) -> bool:
    end = b""
    with open_bytes(path) as file:
        while block := file.read(BLOCK):
            if sought in end + block[:1] or sought in block:
                return True
            end = block[-1:]
    return False


def _count_unreadable(path: Path, encoding: Encoding, dialect: Dialect) -> int:
    """Return how many lines of a file are no rows of the header's length; an open quote ends with its line's row."""
    with open_text(path, encoding.codec) as file:
        lines = _Counted(bounded_lines(file))
        if dialect.announced:
            next(lines, None)
        reader = dialect.reader(lines)
        fields, unreadable = 0, 0
        while True:
            lines.of_row = lines.chars = 0
            try:
                row = next(reader)
            except StopIteration:
                return unreadable
            except csv.Error:
                unreadable += lines.of_row
                continue
            fields = fields or len(row)
            if row and len(row) != fields:
                unreadable += lines.of_row


class _Counted:
    """Lines, and how many of them a row has taken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self.of_row, self.chars = lines, 0, 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.of_row, self.chars = self.of_row + 1, self.chars + len(line)
        if self.chars > ROW_CHARS:
            raise csv.Error
        return line
