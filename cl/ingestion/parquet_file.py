"""Read a Parquet file in chunks whose decoded size is bounded, and convert cells that pandas cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cl.errors import SourceError
from cl.ingestion.bounds import CHUNK_CHARS, CHUNK_VALUES, ROW_CHARS, refuse_columns, refuse_unpacked, too_long
from cl.ingestion.internal_columns import UNREADABLE, UnreadableRow
from cl.ingestion.values import readable_path

BUFFER = 1 << 20
VALUE_BYTES = 16
"""What a value takes besides its text: its share of an index, and a pointer."""
NULL_BYTES = 4
"""What a value takes at least, however often it is repeated in the file."""
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows, their size, and the rows among them that are too long, by their position."""

    batch: pa.RecordBatch
    size: int
    unreadable: dict[int, UnreadableRow]


def parquet_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file in chunks. Metadata that pandas left in the file is ignored.

    Raises:
        SourceError: it has no rows, too many columns or two of one name, or unpacks to far more than its size.
        OSError, ArrowException: it is damaged.
    """
    pending: list[_Rows] = []
    for rows in _bounded(path, chunk_rows):
        count, size = sum(part.batch.num_rows for part in pending), sum(part.size for part in pending)
        if pending and (count + rows.batch.num_rows > chunk_rows or size + rows.size > CHUNK_CHARS):
            frame, pending = _to_frame(pending), []
            yield frame
        pending.append(rows)
    yield _to_frame(pending)


def _bounded(path: Path, chunk_rows: int) -> Iterator[_Rows]:
    """Yield the rows of a file, decoded, in parts of at most `CHUNK_CHARS`; rows that are too long are empty."""
    with pq.ParquetFile(path) as file:
        _refuse_odd(path, file)
        flat, nested = _dictionaries(file)
    with pq.ParquetFile(path, read_dictionary=flat) as file:
        batch_rows = [_batch_rows(file, group, flat, chunk_rows) for group in range(file.num_row_groups)]
    unpacked, size = 0, path.stat().st_size
    with pq.ParquetFile(path, buffer_size=BUFFER, read_dictionary=nested) as file:
        for group, most in enumerate(batch_rows):
            for batch in map(_without_views, file.iter_batches(most, row_groups=[group])):
                sizes = np.sum([_sizes(column) for column in batch.columns], axis=0)
                unpacked += int(sizes.sum())
                refuse_unpacked(path, unpacked, size)
                yield from _split(batch, sizes)


def _refuse_odd(path: Path, file: pq.ParquetFile) -> None:
    if not file.metadata.num_rows or not len(file.schema):
        raise SourceError(f"{readable_path(path)}: is empty: it has {len(file.schema)} columns but no rows")
    refuse_columns(readable_path(path), file.schema_arrow.names, leaves=len(file.schema))
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    unpacked = sum(max(chunk.total_uncompressed_size, NULL_BYTES * chunk.num_values) for chunk in chunks)
    refuse_unpacked(path, unpacked, path.stat().st_size)


def _dictionaries(file: pq.ParquetFile) -> tuple[list[str], list[str]]:
    """Return the columns of texts that Arrow can read as dictionaries: those of the schema itself, and nested ones."""
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    paths = [
        column.path
        for index, column in enumerate(map(file.schema.column, range(len(file.schema))))
        if column.physical_type == "BYTE_ARRAY"
        and column.logical_type.type != "DECIMAL"
        and not any(_is_prefixed(group.column(index)) for group in groups)
    ]
    names = set(file.schema_arrow.names)
    return [path for path in paths if path in names], [path for path in paths if path not in names]


def _is_prefixed(chunk: Any) -> bool:
    return any(encoding.startswith("DELTA") for encoding in chunk.encodings)


def _batch_rows(file: pq.ParquetFile, group: int, flat: list[str], chunk_rows: int) -> int:
    """Return how many rows of a row group to decode at once: fewer, the longer a value is that each row may repeat.

    A value may repeat any of the column's dictionary, or, in some encodings, the beginning of the value before it.
    Nested values stay dictionaries until it is known how long the rows are. Others do not: Arrow's dictionaries grow
    from batch to batch until they hold all texts of a row group.
    """
    meta = file.metadata.row_group(group)
    chunks = [meta.column(index) for index in range(meta.num_columns)]
    longest: int = sum(chunk.total_uncompressed_size for chunk in chunks if _is_prefixed(chunk))
    for batch in islice(file.iter_batches(1, row_groups=[group], columns=flat), 1):
        texts = [column.dictionary for column in batch.columns if isinstance(column, pa.DictionaryArray)]
        longest += sum(int(_sizes(text).max(initial=0)) for text in texts)
    return max(1, min(chunk_rows, CHUNK_VALUES // len(chunks), CHUNK_CHARS // max(1, longest)))


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


def _sizes(array: pa.Array) -> np.ndarray:
    """Return about how many bytes each value takes once it is decoded."""
    if isinstance(array, pa.DictionaryArray):
        sizes = np.append(_sizes(array.dictionary), 0)
        return np.asarray(sizes[_numbers(array.indices, missing=-1)])
    if isinstance(array, pa.ExtensionArray):
        return _sizes(array.storage)
    if isinstance(array, pa.StructArray):
        return np.asarray(np.sum([np.full(len(array), VALUE_BYTES), *map(_sizes, array.flatten())], axis=0))
    if isinstance(array, pa.MapArray):
        totals, ends = np.append(0, np.cumsum(_sizes(array.keys) + _sizes(array.items))), _numbers(array.offsets)
        return np.asarray(np.diff(totals[ends]) + VALUE_BYTES)
    if isinstance(array.type, LISTS):
        lengths = _numbers(pc.list_value_length(array))
        totals, ends = np.append(0, np.cumsum(_sizes(array.flatten()))), np.cumsum(lengths)
        return np.asarray(totals[ends] - totals[ends - lengths] + VALUE_BYTES)
    if any(is_text(array.type) for is_text in TEXTS):
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
