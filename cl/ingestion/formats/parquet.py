"""Read a Parquet file in batches whose decoded size is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cl.errors import SourceError
from cl.heavy import pa, pd, pq
from cl.ingestion.bounds import CHUNK_CHARS, CHUNK_VALUES, refuse_columns, refuse_unpacked
from cl.ingestion.formats.arrow_rows import batch_chunks, sizes_of
from cl.ingestion.formats.class_names import class_names
from cl.ingestion.values import readable_path

BUFFER = 1 << 20
NULL_BYTES = 4
"""What a value takes at least, however often it is repeated in the file."""


def parquet_chunks(path: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file in chunks. Metadata that pandas left in the file is ignored.

    Raises:
        SourceError: it has no rows, too many columns or two of one name, or unpacks to far more than its size.
        OSError, ArrowException: it is damaged.
    """
    with pq.ParquetFile(path) as file:
        _refuse_odd(path, file)
        names = class_names(file.schema_arrow)
    yield from batch_chunks(path, _batches(path, chunk_rows), chunk_rows, size=path.stat().st_size, names=names)


def _batches(path: Path, chunk_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches of which none is large, however long the values are that it repeats."""
    with pq.ParquetFile(path) as file:
        flat, nested = _dictionaries(file)
    with pq.ParquetFile(path, read_dictionary=flat) as file:
        batch_rows = [_batch_rows(file, group, flat, chunk_rows) for group in range(file.num_row_groups)]
    with pq.ParquetFile(path, buffer_size=BUFFER, read_dictionary=nested) as file:
        for group, most in enumerate(batch_rows):
            yield from file.iter_batches(most, row_groups=[group])


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
        longest += sum(int(sizes_of(text).max(initial=0)) for text in texts)
    return max(1, min(chunk_rows, CHUNK_VALUES // len(chunks), CHUNK_CHARS // max(1, longest)))
