"""The experiences of the stream, as they lie under data/: read only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from cl.errors import StoreError
from cl.records import SPLITS, Experience
from cl.stores.files import sha256
from cl.stores.project_folder import ProjectFolder

PLACED = re.compile(r"(\d{4,})-.+")
QUARANTINE_COLUMNS = ["id", "reason", "row"]

RowsOf = Callable[[list[str], str], pd.DataFrame]
"""Returns the rows of experiences: (ids, split)."""

AT_ONCE = 50_000
"""Rows of a file in memory at once where few of them are wanted."""


class StoredRows(Protocol):
    """What finds rows of an experience without holding all of it; a place counts through the splits, in their order."""

    def column(self, id: str, name: str) -> pd.DataFrame:
        """Return one column of all rows."""

    def rows_at(self, id: str, places: np.ndarray) -> pd.DataFrame:
        """Return all columns of the rows at some places, which ascend."""


@dataclass(frozen=True)
class Experiences:
    """All that was ingested into a project."""

    project: ProjectFolder

    def all(self) -> list[Experience]:
        """Return every experience, in the order in which they came.

        Raises:
            StoreError: one of them is damaged.
        """
        return [self.get(name) for name in self._ids()]

    def get(self, id: str) -> Experience:
        """Return one experience.

        Raises:
            StoreError: there is none of that id, or its record is damaged.
        """
        path = self.project.experiences / id / "experience.json"
        if not PLACED.fullmatch(id) or not path.parent.is_dir():
            raise StoreError(f"no experience '{id}'; there are: {', '.join(self._ids()) or 'none'}")
        try:
            return Experience.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; {_remedy(path)}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise StoreError(f"{path}: is damaged: {first['msg']}; {_remedy(path)}") from None

    def rows(self, id: str, split: str) -> pd.DataFrame:
        """Return the rows of one split, in the order in which they came.

        Raises:
            StoreError: there is no such experience, or its file is damaged.
        """
        assert split in SPLITS, split
        self.get(id)
        return _frame(self.project.experiences / id / f"{split}.parquet")

    def size(self, id: str, split: str) -> int:
        """Return the bytes of one split as they lie on disk."""
        return (self.project.experiences / id / f"{split}.parquet").stat().st_size

    def rows_of(self, ids: Sequence[str], split: str) -> pd.DataFrame:
        """Return the rows of one split of several experiences, one after the other.

        Raises:
            StoreError: one of them is not there or damaged.
        """
        return self.past(ids, split).drop(columns="experience")

    def past(self, ids: Sequence[str], split: str) -> pd.DataFrame:
        """Return the rows of several experiences with a column ``experience`` that says whose they are.

        Raises:
            StoreError: one of them is not there or damaged.
        """
        if not ids:
            return self._no_rows().assign(experience=pd.Series(dtype=object))
        return pd.concat([self.rows(one, split).assign(experience=one) for one in ids], ignore_index=True)

    def column(self, id: str, name: str) -> pd.DataFrame:
        """Return one column of all rows, split after split.

        Raises:
            StoreError: there is no such experience, or a file of it is damaged.
        """
        return pd.concat([_read(path, lambda file: file.read([name])) for path in self._files(id)], ignore_index=True)

    def rows_at(self, id: str, places: np.ndarray) -> pd.DataFrame:
        """Return the rows at some places, which ascend and count through the splits; the rest is not kept in memory.

        Raises:
            StoreError: there is no such experience, or a file of it is damaged.
        """
        rows = self.get(id).rows
        starts = np.cumsum([0, *(rows[split] for split in SPLITS[:-1])])
        cuts = np.searchsorted(places, starts[1:])
        its = [part - start for part, start in zip(np.split(places, cuts), starts, strict=True)]
        parts = [_read(path, partial(_picked, places=one)) for path, one in zip(self._files(id), its, strict=True)]
        return pd.concat(parts, ignore_index=True)

    def named(self, id: str, rows: Sequence[str]) -> pd.DataFrame:
        """Return the rows of some ids, as far as they are there; the rest is not kept in memory.

        Raises:
            StoreError: there is no such experience, or a file of it is damaged.
        """
        wanted = pa.array(rows, pa.string())

        def filtered(file: pq.ParquetFile) -> pa.Table:
            batches = file.iter_batches(AT_ONCE)
            return pa.Table.from_batches(
                [one.filter(pc.is_in(one["id"], wanted)) for one in batches], file.schema_arrow
            )

        return pd.concat([_read(path, filtered) for path in self._files(id)], ignore_index=True)

    def quarantined(self, id: str) -> pd.DataFrame:
        """Return the rows that were set aside: id, reason, and the raw row as JSON; none is an empty frame.

        Raises:
            StoreError: there is no such experience, or rows were set aside and their file is gone or damaged.
        """
        if not self.get(id).quarantined:
            return pd.DataFrame(columns=QUARANTINE_COLUMNS, dtype=object)
        return _frame(self.project.quarantine / f"{id}.parquet")

    def next_id(self, name: str) -> str:
        """Return the id of an experience that comes after all others."""
        last = max((_number(one) for one in self._ids()), default=0)
        return f"{last + 1:04d}-{slug(name)}"

    def _files(self, id: str) -> list[Path]:
        self.get(id)
        return [self.project.experiences / id / f"{split}.parquet" for split in SPLITS]

    def _ids(self) -> list[str]:
        folder = self.project.experiences
        names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        return sorted(filter(PLACED.fullmatch, names), key=lambda one: (_number(one), one))

    def _no_rows(self) -> pd.DataFrame:
        ids = self._ids()
        columns = list(self.rows(ids[0], "train").columns) if ids else ["id", "text", "label", "date"]
        return pd.DataFrame(columns=columns, dtype=object)


def slug(name: str) -> str:
    """Return a name as a part of a file name: lower case, words joined by dashes.

    >>> slug("Month 3 (late)")
    'month-3-late'
    """
    return "-".join(re.findall(r"[^\W_]+", name.lower()))[:60].strip("-") or "batch"


def _number(id: str) -> int:
    return int(id.split("-", 1)[0])


def _picked(file: pq.ParquetFile, places: np.ndarray) -> pa.Table:
    """Return the rows of a file at some places, a batch after the other."""
    passed, parts = 0, []
    for batch in file.iter_batches(AT_ONCE):
        low, high = np.searchsorted(places, [passed, passed + len(batch)])
        parts.append(batch.take(pa.array(places[low:high] - passed)))
        passed += len(batch)
    return pa.Table.from_batches(parts, file.schema_arrow)


def _frame(path: Path) -> pd.DataFrame:
    return _read(path, lambda file: file.read())


def _read(path: Path, read: Callable[[pq.ParquetFile], pa.Table]) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return read(file).to_pandas()
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing; {_remedy(path)}") from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: is damaged: {' '.join(str(error).split())}; {_remedy(path)}") from None


def _remedy(path: Path) -> str:
    return f"`dvc checkout --force {path}`, in the project's folder, brings it back as it was versioned"


def digest_of(folder: Path) -> str:
    """Return the digest of an experience's rows as they lie in its folder."""
    files = "".join(f"{split} {sha256(folder / f'{split}.parquet')}\n" for split in SPLITS)
    return hashlib.sha256(files.encode()).hexdigest()
