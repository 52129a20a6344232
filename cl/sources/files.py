"""Rows from files: CSV, JSON lines (both also gzipped), Parquet, or a folder of them."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from cl.errors import SourceError
from cl.sources import SPLIT, SPLIT_NAMES, Batch, Source, Stamp, stamp_of

log = logging.getLogger(__name__)

UNREADABLE = "__unreadable__"
"""Column of a chunk with the raw line where no row could be read; absent where all could."""

CHUNK_CHARS = 32_000_000
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")


class Files(Source):
    """One file, or a folder whose files are one batch each, sorted by name.

    In a folder, files called train, validation (or dev) and test, alone or after a name and a dot, are the splits of
    one batch: ``ai.train.jsonl.gz`` and ``ai.test.jsonl.gz`` make `ai`.

    >>> Files(path="inbox", only="month-*").only
    'month-*'
    """

    path: str = Field(description="A file or a folder, inside the project unless it is absolute")
    only: str | None = Field(None, description="When a folder is read: a glob that file names must match")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield one batch a file; rows are read when the chunks are asked for.

        Raises:
            SourceError: nothing is there, nothing can be read, or a file is empty or damaged.
        """
        place = root / Path(self.path).expanduser()
        paths = self._found(place)
        for name, parts in together(paths).items():
            one = parts[0] if len(parts) == 1 else parts[0].parent
            origin = one.relative_to(root) if one.is_relative_to(root) else one
            yield Batch(name=name, origin=str(origin), chunks=_read(parts, chunk_rows))

    def stamp(self, root: Path) -> Stamp | None:
        """Return names, sizes and times of the files as one digest, and the time of the newest."""
        place = root / Path(self.path).expanduser()
        try:
            return stamp_of(self._readable(place) if place.is_dir() else [place])
        except (OSError, ValueError, NotImplementedError):
            return None  # whoever reads it says what is wrong

    def _found(self, place: Path) -> list[Path]:
        try:
            if not place.exists():
                raise SourceError(f"{place}: no such file or folder")
            paths = self._inside(place) if place.is_dir() else [place]
            empty = [path for path in paths if path.stat().st_size == 0]
        except (OSError, ValueError, NotImplementedError) as error:
            raise SourceError(f"{place}: cannot be read: {error}") from None
        if format_of(paths[0]) is None:
            raise SourceError(f"{place}: cannot be read; known kinds of file are: {', '.join(READERS)}")
        if empty:
            raise SourceError(f"{empty[0]}: is empty (0 bytes)")
        return paths

    def _inside(self, folder: Path) -> list[Path]:
        readable = self._readable(folder)
        if not readable:
            matching = f" matching '{self.only}'" if self.only else ""
            raise SourceError(f"{folder}: no readable file{matching}; known kinds are: {', '.join(READERS)}")
        return readable

    def _readable(self, folder: Path) -> list[Path]:
        every = sorted(folder.glob(self.only or "*"))
        found = [path for path in every if path.is_file() and not path.name.startswith(".")]
        known = [path for path in found if format_of(path) is not None]
        for path in set(found) - set(known):
            log.info("%s: skipped, not one of %s", path, ", ".join(READERS))
        return known


def format_of(path: Path) -> str | None:
    """Return the known suffix that a file's name ends with, or None."""
    return next((path.name[-len(one) :] for one in READERS if path.name.lower().endswith(one)), None)


def together(paths: list[Path]) -> dict[str, list[Path]]:
    """Return the files of each batch by its name, in order; the splits of one thing are one batch."""
    batches: dict[str, list[Path]] = {}
    for path in paths:
        stem = _stem(path)
        if len(paths) > 1 and split_of(path) is not None:
            batches.setdefault(stem.rpartition(".")[0] or path.parent.name, []).append(path)
        else:  # a.csv and a.jsonl are two things: the second keeps its ending
            batches[stem if stem not in batches else path.name] = [path]
    return batches


def split_of(path: Path) -> str | None:
    """Return train, validation or test where the file's name says so, else None."""
    return SPLIT_NAMES.get(_stem(path).rpartition(".")[2].lower())


def _stem(path: Path) -> str:
    return path.name.removesuffix(format_of(path) or "")


def _read(parts: list[Path], chunk_rows: int) -> Iterator[pd.DataFrame]:
    for path in parts:
        suffix = format_of(path)
        assert suffix is not None
        split = split_of(path) if len(parts) > 1 else None
        for chunk in _guarded(path, READERS[suffix.lower()](path, chunk_rows)):
            yield chunk if split is None else chunk.assign(**{SPLIT: split})


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


def _guarded(path: Path, chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    try:
        yield from chunks
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: is not a whole gzip file: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
