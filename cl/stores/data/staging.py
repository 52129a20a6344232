"""Stage the rows of a new experience on this machine before it is published."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cl.records import ANNOTATED, SPLITS, WEIGHT
from cl.stores.data.fingerprints import Fingerprints, concatenate
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Schema, ValueKind

KEPT = 0
STRINGS, INTEGERS = pa.list_(pa.string()), pa.list_(pa.int64())
QUARANTINE = pa.schema([("id", pa.string()), ("reason", pa.string()), ("row", pa.string())])
TYPES = {
    ValueKind.TEXT: pa.string(),
    ValueKind.WORDS: STRINGS,
    ValueKind.SPAN: INTEGERS,
    ValueKind.LABEL: pa.string(),
    ValueKind.LABELS: STRINGS,
    ValueKind.TAGS: STRINGS,
    ValueKind.TEXTS: STRINGS,
    ValueKind.NUMBERS: INTEGERS,
    ValueKind.MESSAGES: pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
}
"""The type of a stored column, by the kind of its values."""


def column_types(schema: Schema) -> dict[str, pa.DataType]:
    """Return the types of the columns of stored rows that are no texts."""
    return {**{column.name: TYPES[column.kind] for column in schema.columns}, ANNOTATED: STRINGS, WEIGHT: pa.float64()}


class StagedTable:
    """A Parquet file that grows chunk by chunk, with one row group per chunk."""

    def __init__(self, path: Path, schema: pa.Schema, *, compression: str = "zstd") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.schema = schema
        self.rows = 0
        self._writer = pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=rows.num_rows)
            self.rows += rows.num_rows

    def __enter__(self) -> StagedTable:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file and flush it to the disk."""
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


@dataclass
class Staged:
    """The checked rows of a new experience: rows on disk, hashes and splits in memory.

    ``given``: the input says which rows are for training, validation and test.
    """

    name: str
    folder: Path
    schema: Schema
    prints: list[Fingerprints] = field(default_factory=list)
    splits: list[np.ndarray] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    given: bool = False
    _repeats: Counter[str] = field(default_factory=Counter)
    _good: StagedTable | None = None
    _bad: StagedTable | None = None

    def add(self, rows: pd.DataFrame, raw: list[str], prints: Fingerprints, splits: np.ndarray) -> None:
        """Append good rows, each with its raw form in case it is quarantined later."""
        types = column_types(self.schema)
        columns = {name: pa.array(rows[name].tolist(), types.get(name, pa.string())) for name in rows.columns}
        table = pa.table({**columns, "row": pa.array(raw, pa.string())})
        self._good = self._good or StagedTable(self.folder / "good.parquet", table.schema, compression="lz4")
        self._good.add(table)
        self.prints.append(prints)
        self.splits.append(splits)

    def held_out_ids(self, ids: Iterable[str], splits: Iterable[str]) -> list[str]:
        """Return ids that tell the rows of a given validation or test split from all others, and from their repeats."""
        unique = []
        for id, split in zip(ids, splits, strict=True):
            name = id if split == SPLITS[0] else f"{split}-{id}"
            if name != id:
                self._repeats[name] += 1
            unique.append(name if self._repeats[name] < 2 else f"{name}-{self._repeats[name]}")
        return unique

    def set_aside(self, bad: pd.DataFrame) -> None:
        """Append invalid rows: id, reason, row."""
        if bad.empty:
            return
        self._bad = self._bad or StagedTable(self.folder / "bad.parquet", QUARANTINE, compression="lz4")
        self._bad.add(pa.Table.from_pandas(bad, QUARANTINE, preserve_index=False))
        self.reasons.update(bad["reason"])

    def close(self) -> None:
        """Finish the files."""
        for table in (self._good, self._bad):
            if table is not None:
                table.close()

    @property
    def good_rows(self) -> int:
        """The number of rows that are valid on their own."""
        return self._good.rows if self._good else 0

    def fingerprints(self) -> Fingerprints:
        """Return the hashes of all good rows."""
        return concatenate(self.prints)

    def given_held_out(self) -> np.ndarray:
        """Return which good rows belong to a given validation or test split."""
        splits = np.concatenate([np.empty(0, dtype=np.int8), *self.splits])
        mask: np.ndarray = self.given & (splits != SPLITS.index("train"))
        return mask

    def move_to_splits(self, splits: np.ndarray) -> None:
        """Move good rows to other splits, given as an index for each of them; -1: it stays."""
        for own, places in zip(self.splits, self.places(), strict=True):
            wanted = splits[places]
            own[wanted >= 0] = wanted[wanted >= 0]

    def labelled(self, labels: Collection[str]) -> np.ndarray:
        """Return which good rows have one of the labels, where a row has one."""
        wanted, masks = pa.array(sorted(labels), pa.string()), [np.zeros(0, dtype=bool)]
        if not labels:
            return np.zeros(self.good_rows, dtype=bool)
        for chunk in self.good():
            masks.append(pc.is_in(chunk[self.schema.answer.name], wanted).to_numpy())
        return np.concatenate(masks)

    def places(self) -> Iterator[slice]:
        """Yield the positions among all good rows of each chunk of `good`."""
        start = 0
        for splits in self.splits:
            yield slice(start, start + len(splits))
            start += len(splits)

    def good(self) -> Iterator[pa.Table]:
        """Yield the good rows in chunks, with their raw form in the column ``row``."""
        return _read_chunks(self._good)

    def bad(self) -> Iterator[pa.Table]:
        """Yield the invalid rows in chunks."""
        return _read_chunks(self._bad)


def staging_folder(project: ProjectFolder) -> Path:
    """Return the folder for rows whose experience is not published yet."""
    return project.work / "staging"


def _read_chunks(table: StagedTable | None) -> Iterator[pa.Table]:
    if table is None:
        return
    with pq.ParquetFile(table.path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
