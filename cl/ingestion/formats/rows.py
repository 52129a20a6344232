"""Rows on their way from a reader to a table: chunks, bounded in rows, characters and values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from cl.heavy import pd
from cl.ingestion.bounds import CHUNK_CHARS, CHUNK_VALUES, refuse_columns
from cl.ingestion.internal_columns import UNREADABLE, UnreadableRow
from cl.ingestion.values import readable_path

Record: TypeAlias = "dict[str, Any] | UnreadableRow"
"""A row by the names of its columns, or what is left of one that cannot be read."""


def record_chunks(path: Path, records: Iterable[tuple[str, Record]], chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield records as tables; names that occur in any stay columns of all later tables.

    Args:
        path: where they come from, for a message.
        records: each with its text, from which its size is taken.
        chunk_rows: rows of a table, at most.

    Raises:
        SourceError: the records have too many columns.
    """
    names: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    unreadable: dict[int, UnreadableRow] = {}
    size = values = 0
    for text, record in records:
        if isinstance(record, UnreadableRow):
            unreadable[len(rows)], record = record, {}
        rows.append(record)
        if not record.keys() <= names.keys():
            names.update(dict.fromkeys(record))
            refuse_columns(readable_path(path), names)
        size += len(text)
        values += text.count("[") + text.count("{") + text.count(",")
        cells = len(rows) * len(names)
        if len(rows) >= chunk_rows or size > CHUNK_CHARS or max(values, cells) > CHUNK_VALUES:
            yield to_frame(names, rows, unreadable)
            rows, unreadable, size, values = [], {}, 0, 0
    if rows:
        yield to_frame(names, rows, unreadable)


def to_frame(names: Iterable[str], rows: list[dict[str, Any]], unreadable: dict[int, UnreadableRow]) -> pd.DataFrame:
    """Return rows as a table with these columns; those that are unreadable, by their position, are empty."""
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names}
    return add_unreadable(pd.DataFrame(columns, index=range(len(rows))), unreadable)


def add_unreadable(frame: pd.DataFrame, unreadable: dict[int, UnreadableRow]) -> pd.DataFrame:
    """Return a table with the column of its unreadable rows, if it has any."""
    if unreadable:
        frame[UNREADABLE] = pd.Series([unreadable.get(index) for index in range(len(frame))], dtype=object)
    return frame
