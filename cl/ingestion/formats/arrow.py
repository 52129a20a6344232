"""Arrow's IPC files and streams, among them Feather of version 2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl.errors import SourceError
from cl.heavy import pa, pd
from cl.ingestion.bounds import CHUNK_VALUES, refuse_columns, refuse_unpacked
from cl.ingestion.formats.arrow_rows import batch_chunks
from cl.ingestion.formats.class_names import class_names
from cl.ingestion.values import readable_path

FILE = b"ARROW1"
OLD_FEATHER = b"FEA1"


def arrow_chunks(
    path: Path, chunk_rows: int, names: dict[str, list[str]] | None = None, *, may_be_empty: bool = False
) -> Iterator[pd.DataFrame]:
    """Yield the rows of an Arrow file or stream in chunks.

    Args:
        path: the file.
        chunk_rows: rows of a chunk, at most.
        names: of classes in columns of numbers, besides those that the file itself gives.
        may_be_empty: whether a file without rows is fine, as a part of a data set is.

    Raises:
        SourceError: it has no rows, too many columns or two of one name, or unpacks to far more than its size.
        OSError, ArrowException: it is damaged.
    """
    size = path.stat().st_size
    refuse_unpacked(path, _unpacked(path), size)
    with _opened(path) as source:
        schema = source.schema
        refuse_columns(readable_path(path), schema.names)
    if not len(schema):
        raise SourceError(f"{readable_path(path)}: is empty: it has no columns")
    batches = _batches(path, max(1, min(chunk_rows, CHUNK_VALUES // len(schema))))
    first = next(batches, None)
    if first is None:
        if may_be_empty:
            return
        raise SourceError(f"{readable_path(path)}: is empty: it has {len(schema)} columns but no rows")
    every = (batch for part in ((first,), batches) for batch in part)
    yield from batch_chunks(path, every, chunk_rows, size=size, names=class_names(schema) | (names or {}))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with pa.memory_map(str(path)) as source:
        is_file = source.read(len(FILE)) == FILE
        source.seek(0)
        with pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source) as reader:
            yield reader


def _batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    with _opened(path) as reader:
        numbers = range(reader.num_record_batches) if isinstance(reader, pa.ipc.RecordBatchFileReader) else None
        for batch in reader if numbers is None else map(reader.get_batch, numbers):
            yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def _unpacked(path: Path) -> int:
    """Return how many bytes the buffers of a file say that they unpack to, without unpacking them."""
    total = 0
    with pa.memory_map(str(path)) as source:
        if source.read(len(FILE)) == FILE:
            source.seek(8)  # a file is a stream with a mark of 8 bytes before it
        else:
            source.seek(0)
        for message in pa.ipc.MessageReader.open_stream(source):
            if message.type in ("record batch", "dictionary"):
                total += _unpacked_buffers(memoryview(message.metadata), memoryview(message.body))
    return total


def _unpacked_buffers(metadata: memoryview, body: memoryview) -> int:
    """Return what the buffers of a message unpack to; each compressed one begins with that number.

    The metadata is a flat buffer: the third field of a message is its header, the second of a dictionary its record
    batch, the third of a record batch its buffers (offset and length), and the fourth its compression.
    """
    message = _root(metadata)
    header = _table(metadata, message, 2)
    if header is not None and metadata[_field(metadata, message, 1) or 0] == 2:  # a dictionary
        header = _table(metadata, header, 1)
    if header is None:
        return 0
    vector = _table(metadata, header, 2)
    if vector is None:
        return 0
    (count,) = struct.unpack_from("<I", metadata, vector)
    buffers = [struct.unpack_from("<qq", metadata, vector + 4 + 16 * number) for number in range(count)]
    if _field(metadata, header, 3) is None:
        return int(sum(length for _, length in buffers))
    sizes = [struct.unpack_from("<q", body, offset)[0] if length >= 8 else 0 for offset, length in buffers]
    return int(sum(max(size, length if size < 0 else 0) for size, (_, length) in zip(sizes, buffers, strict=True)))


def _root(metadata: memoryview) -> int:
    return int(struct.unpack_from("<I", metadata, 0)[0])


def _field(metadata: memoryview, table: int, number: int) -> int | None:
    """Return where a table of a flat buffer keeps a field, or None."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (length,) = struct.unpack_from("<H", metadata, vtable)
    if 4 + 2 * number >= length:
        return None
    (offset,) = struct.unpack_from("<H", metadata, vtable + 4 + 2 * number)
    return table + offset if offset else None


def _table(metadata: memoryview, table: int, number: int) -> int | None:
    """Return where the table or vector lies to which a field points, or None."""
    field = _field(metadata, table, number)
    return None if field is None else field + int(struct.unpack_from("<I", metadata, field)[0])
