"""Excel workbooks (.xlsx), read row by row; what they unpack to is bounded, for their texts are held in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, time
from pathlib import Path
from typing import Any

from cl.errors import SourceError
from cl.extras import require
from cl.heavy import pd
from cl.ingestion.bounds import ROW_CHARS, refuse_columns, refuse_unpacked, too_long
from cl.ingestion.formats.rows import Record, record_chunks
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import one_line, readable_path

WORKBOOK = "xl/workbook.xml"
UNPACKED = 500_000_000
"""A workbook of more bytes is refused, however little it packs them to."""


def is_workbook(path: Path) -> bool:
    """Return whether a file is an Excel workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return WORKBOOK in archive.namelist()
    except zipfile.BadZipFile:
        return False


def excel_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a workbook: of its first sheet, and of the others with the same header, in their order.

    Raises:
        SourceError: it has no rows, another sheet has other columns, it unpacks to too much, or `openpyxl` is missing.
    """
    require(f"{readable_path(path)}: an Excel file", "openpyxl", instead="save it as CSV", error=SourceError)
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    refuse_unpacked(path, unpacked, path.stat().st_size)
    if unpacked > UNPACKED:
        raise SourceError(
            f"{readable_path(path)}: unpacks to {unpacked:,} bytes, more than {UNPACKED:,}; save it as CSV"
        )
    with closing(load_workbook(path, read_only=True, data_only=True)) as workbook:
        chunks = record_chunks(path, _records(path, workbook), chunk_rows)
        first = next(chunks, None)
        if first is None:
            raise SourceError(f"{readable_path(path)}: is empty: it has a header but no rows")
        yield first
        yield from chunks


def _records(path: Path, workbook: Any) -> Iterator[tuple[str, Record]]:
    header: list[str] | None = None
    first = ""
    for sheet in workbook.worksheets:
        rows = (row for row in sheet.iter_rows(values_only=True) if any(value is not None for value in row))
        names = [str(value).strip() if value is not None else "" for value in next(rows, ())]
        while names and not names[-1]:
            names.pop()
        if not names:
            continue
        if header is None:
            header, first = names, sheet.title
            refuse_columns(readable_path(path), [name or index for index, name in enumerate(names)])
        if names != header:
            raise SourceError(
                one_line(
                    f"{readable_path(path)}: sheet '{sheet.title}' has other columns than sheet '{first}'; save the "
                    "one with the rows as a file of its own"
                )
            )
        yield from (_record(header, row) for row in rows)
    if header is None:
        raise SourceError(f"{readable_path(path)}: is empty: its sheets have no rows")


def _record(names: list[str], row: tuple[Any, ...]) -> tuple[str, Record]:
    text = ",".join("" if value is None else str(value) for value in row)
    if len(text) > ROW_CHARS:
        return text[:1], too_long(text)
    if any(value is not None for value in row[len(names) :]):
        return text, UnreadableRow(text, "cells without a header")
    return text, {name: _cell(value) for name, value in zip(names, row, strict=False) if name}


def _cell(value: Any) -> Any:
    """Return a cell; a day without a time of day as a date."""
    return value.date() if isinstance(value, datetime) and value.time() == time() else value
