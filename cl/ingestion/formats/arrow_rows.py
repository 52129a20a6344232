"""Rows of Arrow batches as tables whose decoded size is bounded; class names in the place of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.heavy import np, pa, pc, pd
from cl.ingestion.bounds import CHUNK_CHARS, ROW_CHARS, refuse_unpacked, too_long
from cl.ingestion.formats.class_names import put_class_names
from cl.ingestion.formats.exports import recognise_export
from cl.ingestion.formats.rows import record_chunks
from cl.ingestion.internal_columns import UNREADABLE, UnreadableRow
from cl.ingestion.values import to_json

VALUE_BYTES = 16
"""What a value takes besides its text: its share of an index, and a pointer."""


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows, their size, and the rows among them that are too long, by their position."""

    batch: pa.RecordBatch
    size: int
    unreadable: dict[int, UnreadableRow]


def batch_chunks(
    path: Path, batches: Iterator[pa.RecordBatch], chunk_rows: int, *, size: int | None, names: dict[str, list[str]]
) -> Iterator[pd.DataFrame]:
    """Yield the rows of batches as tables.

    Args:
        path: where they come from, for a message.
        batches: of a bounded size each.
        chunk_rows: rows of a table, at most.
        size: bytes of the file, of which the rows may unpack to no more than some times as many; None: unbounded.
        names: of the classes in columns of numbers.

    Raises:
        SourceError: the batches unpack to far more than the file's size.
    """
    frames = (put_class_names(_to_frame(parts), names) for parts in _joined(path, batches, chunk_rows, size))
    first = next(frames)
    records = (_record(row) for row in first.head(20).to_dict("records"))
    export = recognise_export(records) if _could_be_export(list(first.columns)) else None
    if export is None:
        yield first
        yield from frames
        return
    rows = (
        _record(row)
        for frame in (first, *frames)
        for row in frame.drop(columns=UNREADABLE, errors="ignore").to_dict("records")
    )
    yield from record_chunks(path, export.rows_of((to_json(row), row) for row in rows), chunk_rows)
    export.report(path)


def _could_be_export(columns: list[Any]) -> bool:
    names = {str(name) for name in columns}
    return any(name.endswith(".responses") for name in names) or any(
        pair <= names for pair in ({"annotation", "prediction"}, {"fields", "responses"})
    )


def _record(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it: lists and dictionaries of plain values."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(part) for part in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and value != value else value


def _joined(path: Path, batches: Iterator[pa.RecordBatch], chunk_rows: int, size: int | None) -> Iterator[list[_Rows]]:
    """Yield parts that make a table each: as many as its bounds allow."""
    pending: list[_Rows] = []
    unpacked = 0
    for batch in map(_without_views, batches):
        sizes = np.sum([sizes_of(column) for column in batch.columns], axis=0)
        unpacked += int(sizes.sum())
        if size is not None:
            refuse_unpacked(path, unpacked, size)
        for rows in _split(batch, sizes):
            count, total = sum(part.batch.num_rows for part in pending), sum(part.size for part in pending)
            if pending and (count + rows.batch.num_rows > chunk_rows or total + rows.size > CHUNK_CHARS):
                yield pending
                pending = []
            pending.append(rows)
    yield pending


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with plain texts in place of views, of which Arrow can take no rows."""
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    columns = [column.cast(plain.get(column.type, column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _split(batch: pa.RecordBatch, sizes: np.ndarray) -> Iterator[_Rows]:
    long, start = sizes > ROW_CHARS, 0
    totals = np.cumsum(np.where(long, 0, sizes))
    while start < batch.num_rows:
        before = totals[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(totals, before + CHUNK_CHARS, side="right")))
        # taken, not sliced: a slice of lists would be decoded with all the values around it
        rows = batch.take(pa.array(np.arange(start, end), mask=long[start:end]))
        empty = np.flatnonzero(long[start:end])
        unreadable = {int(row): too_long(f"a row of {sizes[start + row]:,} bytes") for row in empty}
        yield _Rows(_decode(rows), int(totals[end - 1] - before), unreadable)
        start = end


def sizes_of(array: pa.Array) -> np.ndarray:
    """Return about how many bytes each value takes once it is decoded."""
    if isinstance(array, pa.DictionaryArray):
        sizes = np.append(sizes_of(array.dictionary), 0)
        return np.asarray(sizes[_numbers(array.indices, missing=-1)])
    if isinstance(array, pa.ExtensionArray):
        return sizes_of(array.storage)
    if isinstance(array, pa.StructArray):
        return np.asarray(np.sum([np.full(len(array), VALUE_BYTES), *map(sizes_of, array.flatten())], axis=0))
    if isinstance(array, pa.MapArray):
        totals, ends = np.append(0, np.cumsum(sizes_of(array.keys) + sizes_of(array.items))), _numbers(array.offsets)
        return np.asarray(np.diff(totals[ends]) + VALUE_BYTES)
    if isinstance(array.type, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        lengths = _numbers(pc.list_value_length(array))
        totals, ends = np.append(0, np.cumsum(sizes_of(array.flatten()))), np.cumsum(lengths)
        return np.asarray(totals[ends] - totals[ends - lengths] + VALUE_BYTES)
    if _is_text(array.type):
        return _numbers(pc.binary_length(array)) + VALUE_BYTES
    return np.full(len(array), VALUE_BYTES)


def _numbers(array: pa.Array, *, missing: int = 0) -> np.ndarray:
    return np.asarray(pc.fill_null(array, missing).to_numpy(zero_copy_only=False), dtype=np.int64)


def _decode(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [column.cast(_decoded(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _decoded(kind: pa.DataType) -> pa.DataType:
    """Return a type without dictionaries."""
    if isinstance(kind, pa.DictionaryType):
        return _decoded(kind.value_type)
    if isinstance(kind, pa.ListType):
        return pa.list_(_decoded(kind.value_type))
    if isinstance(kind, pa.LargeListType):
        return pa.large_list(_decoded(kind.value_type))
    if isinstance(kind, pa.FixedSizeListType):
        return pa.list_(_decoded(kind.value_type), kind.list_size)
    if isinstance(kind, pa.MapType):
        return pa.map_(_decoded(kind.key_type), _decoded(kind.item_type))
    if isinstance(kind, pa.StructType):
        return pa.struct([(field.name, _decoded(field.type)) for field in kind])
    return kind


def _to_frame(parts: list[_Rows]) -> pd.DataFrame:
    table = pa.Table.from_batches([part.batch for part in parts])
    frame = pd.DataFrame(
        {name: _to_series(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    )
    if any(part.unreadable for part in parts):
        cells = [part.unreadable.get(row) for part in parts for row in range(part.batch.num_rows)]
        frame[UNREADABLE] = pd.Series(cells, dtype=object)
    return frame


def _to_series(column: pa.ChunkedArray) -> pd.Series:
    """Return a column for pandas; if pandas cannot take it as it is, its times in UTC, or its values one by one."""
    kind = column.type
    try:
        return column.to_pandas(integer_object_nulls=True)
    except Exception:
        if pa.types.is_timestamp(kind) and kind.tz:  # an unknown time zone; the times are stored in UTC in any case
            return _to_series(column.cast(pa.timestamp(kind.unit)))
        return pd.Series([_cell(value) for value in column], dtype=object)


def _cell(value: pa.Scalar) -> Any:
    """Return a value for Python; None for one that Python does not have, such as a date after the year 9999."""
    try:
        return value.as_py()
    except Exception:
        if isinstance(value, (pa.StringScalar, pa.LargeStringScalar)):
            return value.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
        return None


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)
