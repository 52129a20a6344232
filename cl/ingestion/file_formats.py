"""Read one file by its format, which its content shows; what cannot be read is refused by name, as a whole."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from cl.errors import PerennialError, SourceError
from cl.heavy import pd
from cl.ingestion.bounds import ROW_CHARS, TOO_LONG
from cl.ingestion.formats.arrow import FILE, OLD_FEATHER, arrow_chunks
from cl.ingestion.formats.conll import conll_chunks, looks_like_conll
from cl.ingestion.formats.delimited import csv_chunks
from cl.ingestion.formats.dialect import Dialect, dialect_of, head_lines
from cl.ingestion.formats.encoding import Encoding, encoding_of, encoding_of_head
from cl.ingestion.formats.excel import excel_chunks, is_workbook
from cl.ingestion.formats.json_records import holds_records, is_array, is_object, json_chunks
from cl.ingestion.formats.parquet import parquet_chunks
from cl.ingestion.formats.saved_dataset import is_saved_dataset, saved_chunks
from cl.ingestion.internal_columns import UNREADABLE
from cl.ingestion.values import describe_error, one_line, readable_path

__all__ = ["SUFFIXES", "UNREADABLE", "format_of", "holds_rows", "read_chunks", "refuse_empty"]

log = logging.getLogger(__name__)
CSV, JSON, CONLL = (".csv", ".tsv"), (".jsonl", ".ndjson", ".json"), (".conll", ".iob", ".bio")
ARROW = (".arrow", ".feather")
SUFFIXES: tuple[str, ...] = (
    ".csv",
    ".csv.gz",
    ".jsonl",
    ".jsonl.gz",
    ".ndjson",
    ".ndjson.gz",
    ".parquet",
    ".json",
    ".json.gz",
)
SUFFIXES += (".tsv", ".tsv.gz", *CONLL, *(f"{suffix}.gz" for suffix in CONLL), *ARROW, ".xlsx")
"""How the names of files end that are read."""

READERS: dict[str, Callable[[Path, int], Iterator[pd.DataFrame]]] = {
    "Parquet": parquet_chunks,
    "Arrow": arrow_chunks,
    "Excel": excel_chunks,
    "data set": saved_chunks,
}
"""Readers of formats that are no text."""

REFUSED = {
    OLD_FEATHER: "is Feather of version 1; save it as Parquet, or as Feather of version 2",
    b"PK\x03\x04": "is a ZIP archive and no Excel workbook; unpack it",
    b"\xd0\xcf\x11\xe0": "is an Excel file of the old kind (.xls); save it as .xlsx or CSV",
    b"BZh": "is packed with bzip2; unpack it, or pack it with gzip",
    b"\xfd7zXZ": "is packed with xz; unpack it, or pack it with gzip",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it, or pack it with gzip",
    b"SQLite format 3\0": "is a SQLite database; set data.source: {name: sql, ...} to read from it",
    b"%PDF-": "is a PDF; give its rows as CSV or JSON lines",
}
"""How files begin that are refused by name, and why."""


def read_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file, or of a data set in a folder, in chunks of at most ``chunk_rows``.

    Raises:
        SourceError: the file is empty or damaged, of no known format, or cannot be read for any other reason; the
            message names it.
    """
    refuse_empty(path)
    rows_too_long = 0
    try:
        for chunk in _read(path, chunk_rows):
            if UNREADABLE in chunk:
                rows_too_long += sum(row.reason == TOO_LONG for row in chunk[UNREADABLE].dropna())
            yield chunk
    except PerennialError:
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{readable_path(path)}: is not a complete gzip file: {one_line(str(error))}") from None
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{readable_path(path)}: is neither UTF-8 nor {Encoding(error.encoding)} throughout; save it as UTF-8"
        ) from None
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
    if size == 0 and not path.is_dir():
        raise SourceError(f"{readable_path(path)}: is empty (0 bytes)")


def format_of(path: Path) -> str | None:
    """Return the known suffix that a file's name ends with, or None."""
    return next((path.name[-len(suffix) :] for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def holds_rows(path: Path) -> bool:
    """Return whether a file of a known name is a table; a single JSON object, such as settings, is none."""
    if _suffix(path) != ".json":
        return True
    try:
        return path.stat().st_size == 0 or holds_records(path, encoding_of_head(path))
    except (OSError, ValueError, EOFError, zlib.error):
        return True  # reading it will report what is wrong


def _suffix(path: Path) -> str:
    """Return the known suffix of a file without that of gzip."""
    return (format_of(path) or "").lower().removesuffix(".gz")


def _read(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    kind = "data set" if is_saved_dataset(path) else _binary_format(path)
    if kind:
        return READERS[kind](path, chunk_rows)
    encoding, suffix = encoding_of(path), _suffix(path)
    if suffix in JSON or (suffix not in CONLL and _is_json(path, encoding)):
        if suffix == ".json" and not holds_records(path, encoding):
            raise SourceError(
                f"{readable_path(path)}: holds no rows but a single JSON value; give the array of objects in it, or "
                "JSON lines"
            )
        _report(path, encoding, "" if suffix in JSON else "JSON")
        return json_chunks(path, chunk_rows, encoding)
    if suffix in CONLL or looks_like_conll(path, encoding):
        _report(path, encoding, "" if suffix in CONLL else "columns of tokens and tags")
        return conll_chunks(path, chunk_rows, encoding)
    dialect = dialect_of(path, encoding)
    usual = Dialect("\t" if suffix == ".tsv" else ",")
    _report(path, encoding, str(dialect) if dialect != usual else "")
    return csv_chunks(path, chunk_rows, encoding, dialect)


def _binary_format(path: Path) -> str | None:
    """Return the format of a file that is no text, by its first bytes; None for a text.

    Raises:
        SourceError: it is of a format that is refused.
    """
    with path.open("rb") as file:
        head = file.read(max(map(len, REFUSED)))
    suffix = _suffix(path)
    if head.startswith(b"PAR1") or suffix == ".parquet":
        return "Parquet"
    if head.startswith(b"PK\x03\x04") and is_workbook(path):
        return "Excel"
    for beginning, why in REFUSED.items():
        if head.startswith(beginning):
            raise SourceError(f"{readable_path(path)}: {why}")
    if head.startswith(FILE) or suffix in ARROW:
        return "Arrow"
    if suffix == ".xlsx":
        raise SourceError(f"{readable_path(path)}: is no Excel workbook; save it as .xlsx, or as CSV")
    return None


def _is_json(path: Path, encoding: Encoding) -> bool:
    first = next(head_lines(path, encoding), "").lstrip()
    return is_array(path, encoding) if first.startswith("[") else first.startswith("{") and is_object(first)


def _report(path: Path, encoding: Encoding, what: str) -> None:
    """Say once how a file is read, unless that is how its name says."""
    parts = [part for part in (what, "" if encoding == Encoding() else str(encoding)) if part]
    if parts:
        remedy = "; if that is wrong, save it as UTF-8" if encoding.example else ""
        log.warning("%s: read as %s%s", readable_path(path), ", ".join(parts), remedy)
