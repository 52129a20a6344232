"""JSON: an object in each line, or an array of objects; exports of annotation tools are recognised among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.bounds import ROW_CHARS, bounded_lines, open_text, too_long
from cl.ingestion.formats.encoding import Encoding
from cl.ingestion.formats.exports import recognise_export
from cl.ingestion.formats.rows import Record, record_chunks
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import readable_path

BLOCK = 1 << 18
DECODER = json.JSONDecoder()


def json_chunks(path: Path, chunk_rows: int, encoding: Encoding) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file of JSON, in chunks.

    Raises:
        SourceError: it has no rows or too many columns, or its array is not complete.
    """
    export = recognise_export(record for _, record in _records(path, encoding))
    records = _records(path, encoding)
    chunks = record_chunks(path, export.rows_of(records) if export else records, chunk_rows)
    first = next(chunks, None)
    if first is None:
        what = f"no labelled row: {export.skipped()}" if export and export.left_out else "no lines"
        raise SourceError(f"{readable_path(path)}: is empty: it has {what}")
    yield first
    yield from chunks
    if export:
        export.report(path)


def is_array(path: Path, encoding: Encoding) -> bool:
    """Return whether a file holds an array of objects and not an object in each line."""
    with open_text(path, encoding.codec) as file:
        head = file.read(BLOCK).lstrip()
    return head.startswith("[") and head[1:].lstrip()[:1] in ("{", "]")


def is_object(line: str) -> bool:
    """Return whether a line is an object by itself."""
    return isinstance(_parse(line), dict)


def holds_records(path: Path, encoding: Encoding) -> bool:
    """Return whether a file holds an array of objects, or an object in each of its first two lines."""
    if is_array(path, encoding):
        return True
    with open_text(path, encoding.codec) as file:
        lines = list(islice((line for line in bounded_lines(file) if not line.isspace()), 2))
    return len(lines) == 2 and all(map(is_object, lines))


def _records(path: Path, encoding: Encoding) -> Iterator[tuple[str, Record]]:
    with open_text(path, encoding.codec) as file:
        if is_array(path, encoding):
            yield from _array(path, file)
        else:
            yield from ((line, _parse(line)) for line in bounded_lines(file) if not line.isspace())


def _parse(line: str) -> Record:
    if len(line) > ROW_CHARS:
        return too_long(line)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else UnreadableRow(line.rstrip("\r\n"))


def _array(path: Path, file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield the elements of an array, of which only one is in memory.

    Raises:
        SourceError: it is damaged or does not end, or an element is too long.
    """
    buffer, number = _Buffer(file), 0
    buffer.next_letter()
    separator = buffer.next_letter() if buffer.peek_letter() == "]" else ","
    while separator == ",":
        number += 1
        buffer.peek_letter()
        yield _element(path, buffer, number)
        separator = buffer.next_letter()
    if separator != "]" or buffer.next_letter():
        raise SourceError(
            f"{readable_path(path)}: its JSON array is damaged or not complete after element {number:,}, or more "
            "follows it; give one whole array, or JSON lines"
        )


def _element(path: Path, buffer: _Buffer, number: int) -> tuple[str, Record]:
    while True:
        try:
            value, end = DECODER.raw_decode(buffer.text, buffer.start)
        except (ValueError, RecursionError):
            if len(buffer.text) - buffer.start > ROW_CHARS or not buffer.more():
                raise SourceError(
                    f"{readable_path(path)}: element {number:,} of its JSON array is damaged, not complete, or longer "
                    f"than {ROW_CHARS:,} characters; give one whole array, or JSON lines"
                ) from None
        else:
            text, buffer.start = buffer.text[buffer.start : end], end
            return text, value if isinstance(value, dict) else UnreadableRow(text)


class _Buffer:
    """A part of a text, from which letters are taken at its start."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self.text, self.start = file, "", 0

    def more(self) -> bool:
        """Read further; as much again each time for one element, so that long ones take no longer."""
        part = self._file.read(max(BLOCK, len(self.text) - self.start))
        self.text, self.start = self.text[self.start :] + part, 0
        return bool(part)

    def peek_letter(self) -> str:
        """Go to the next letter that is no white space, and return it, or nothing where the text ends."""
        while True:
            while self.start < len(self.text):
                if not self.text[self.start].isspace():
                    return self.text[self.start]
                self.start += 1
            if not self.more():
                return ""

    def next_letter(self) -> str:
        """Return the next letter that is no white space, and go behind it."""
        letter = self.peek_letter()
        self.start += len(letter)
        return letter
