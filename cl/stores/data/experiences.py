"""Read the experiences of the stream stored under data/."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from cl.errors import StoreError
from cl.records import SPLITS, Experience
from cl.stores.data.kept_tables import KeptTables
from cl.stores.files import sha256
from cl.stores.project_folder import ProjectFolder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

EXPERIENCE_ID = re.compile(r"(\d{4,})-.+")
QUARANTINE_COLUMNS = ["id", "reason", "row"]

RowsOf = Callable[[list[str], str], "pd.DataFrame"]
"""Takes (ids, split) and returns the rows of these experiences."""

BATCH_ROWS = 50_000
"""Rows of a file read at a time when only a few of them are needed."""
_KEPT = KeptTables()


class StoredRows(Protocol):
    """Reads parts of an experience without loading all of it; row indexes count through the splits in order."""

    def column(self, id: str, name: str) -> pd.DataFrame:
        """Return one column for all rows."""

    def rows_at(self, id: str, places: np.ndarray) -> pd.DataFrame:
        """Return all columns of the rows at ascending indexes."""


@dataclass(frozen=True)
class Experiences:
    """All experiences of a project."""

    project: ProjectFolder

    def all(self) -> list[Experience]:
        """Return all experiences in the order of ingestion.

        Raises:
            StoreError: an experience is damaged.
        """
        return [self.get(name) for name in self.ids()]

    def get(self, id: str) -> Experience:
        """Return one experience.

        Raises:
            StoreError: there is no such experience, or its record is damaged.
        """
        if not EXPERIENCE_ID.fullmatch(id):
            raise self._missing(id)
        path = f"{self._folder}/{id}/experience.json"  # a path object would take longer to make than the file to find
        try:
            stat = os.stat(path)  # noqa: PTH116
            return _read_record(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError as error:
            if not Path(path).parent.is_dir():
                raise self._missing(id) from None
            raise StoreError(f"{path}: cannot be read: {error.strerror}; {_remedy(Path(path))}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise StoreError(f"{path}: is damaged: {first['msg']}; {_remedy(Path(path))}") from None

    def _missing(self, id: str) -> StoreError:
        return StoreError(f"no experience '{id}'; there are: {', '.join(self.ids()) or 'none'}")

    @cached_property
    def _folder(self) -> str:
        return str(self.project.experiences)

    def are_descriptions(self, ids: Sequence[str]) -> bool:
        """Return whether experiences hold descriptions of labels and nothing else; of none: False.

        Raises:
            StoreError: an experience is missing or damaged.
        """
        return bool(ids) and all(self.get(id).describes_labels for id in ids)

    def rows(self, id: str, split: str) -> pd.DataFrame:
        """Return the rows of one split in the order of ingestion.

        Raises:
            StoreError: there is no such experience, or its file is damaged.
        """
        assert split in SPLITS, split
        return _frame(self._file(id, split))

    def size(self, id: str, split: str) -> int:
        """Return the size of one split on disk, in bytes."""
        return (self.project.experiences / id / f"{split}.parquet").stat().st_size

    def rows_of(self, ids: Sequence[str], split: str) -> pd.DataFrame:
        """Return the rows of one split of several experiences, concatenated.

        Raises:
            StoreError: an experience is missing or damaged.
        """
        import pandas as pd
        import pyarrow as pa

        assert split in SPLITS, split
        if not ids:
            return self._no_rows()
        tables = [_whole_table(self._file(id, split)) for id in ids]
        if all(table.schema.equals(tables[0].schema) for table in tables):
            return pa.concat_tables(tables).to_pandas()
        return pd.concat([table.to_pandas() for table in tables], ignore_index=True)

    def column(self, id: str, name: str) -> pd.DataFrame:
        """Return one column for all rows, split by split.

        Raises:
            StoreError: there is no such experience, or one of its files is damaged.
        """
        import pandas as pd

        return pd.concat([_read(path, lambda file: file.read([name])) for path in self._files(id)], ignore_index=True)

    def columns(self, id: str) -> list[str]:
        """Return the names of the columns of an experience's rows.

        Raises:
            StoreError: there is no such experience, or its file is damaged.
        """
        return list(_read(self._files(id)[0], lambda file: file.schema_arrow.empty_table()).columns)

    def rows_at(self, id: str, places: np.ndarray) -> pd.DataFrame:
        """Return the rows at ascending indexes, which count through the splits, without keeping others in memory.

        Raises:
            StoreError: there is no such experience, or one of its files is damaged.
        """
        import numpy as np
        import pandas as pd

        rows = self.get(id).rows
        starts = np.cumsum([0, *(rows[split] for split in SPLITS[:-1])])
        cuts = np.searchsorted(places, starts[1:])
        by_split = [part - start for part, start in zip(np.split(places, cuts), starts, strict=True)]
        files = zip(self._files(id), by_split, strict=True)
        return pd.concat([_read(path, partial(_take, indexes=indexes)) for path, indexes in files], ignore_index=True)

    def named(self, id: str, rows: Sequence[str]) -> pd.DataFrame:
        """Return the rows with the given ids, as far as they exist, without keeping others in memory.

        Raises:
            StoreError: there is no such experience, or one of its files is damaged.
        """
        return self.named_table(id, rows).to_pandas()

    def named_table(self, id: str, rows: Sequence[str]) -> pa.Table:
        """Return the rows of `named` as a table of Arrow.

        Raises:
            StoreError: there is no such experience, or one of its files is damaged.
        """
        import pyarrow as pa

        wanted = frozenset(rows)

        def filter_rows(file: pq.ParquetFile) -> pa.Table:
            selected = [
                batch.slice(index, 1)  # a filter would import pandas
                for batch in file.iter_batches(BATCH_ROWS)
                for index, row in enumerate(batch["id"].to_pylist())
                if row in wanted
            ]
            return pa.Table.from_batches(selected, file.schema_arrow)

        return pa.concat_tables(_read_table(path, filter_rows) for path in self._files(id))

    def quarantined(self, id: str) -> pd.DataFrame:
        """Return the quarantined rows: id, reason, and the raw row as JSON; an empty frame if there are none.

        Raises:
            StoreError: there is no such experience, or its quarantine file is missing or damaged.
        """
        import pandas as pd

        if not self.get(id).quarantined:
            return pd.DataFrame(columns=QUARANTINE_COLUMNS, dtype=object)
        return _frame(self.project.quarantine / f"{id}.parquet")

    def next_id(self, name: str) -> str:
        """Return the id for a new experience after all others."""
        last = max((_number(id) for id in self.ids()), default=0)
        return f"{last + 1:04d}-{slug(name)}"

    def _files(self, id: str) -> list[Path]:
        return [self._file(id, split) for split in SPLITS]

    def _file(self, id: str, split: str) -> Path:
        """Return the file of a split, of an experience that is there."""
        self.get(id)
        return Path(f"{self._folder}/{id}/{split}.parquet")

    def ids(self) -> list[str]:
        """Return the ids of all experiences in the order of ingestion."""
        folder = self.project.experiences
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(filter(EXPERIENCE_ID.fullmatch, names), key=lambda name: (_number(name), name))

    def _no_rows(self) -> pd.DataFrame:
        import pandas as pd

        ids = self.ids()
        columns = list(self.rows(ids[0], "train").columns) if ids else ["id", "text", "label", "date"]
        return pd.DataFrame(columns=columns, dtype=object)


@lru_cache(maxsize=10_000)
def _read_record(path: str, changed: int, size: int, inode: int) -> Experience:
    """Return an experience's record; while its file is the same, it is read once in a process."""
    del changed, size, inode
    return Experience.model_validate_json(Path(path).read_bytes())


def slug(name: str) -> str:
    """Return a name as part of a file name: lower case, words joined by hyphens.

    >>> slug("Month 3 (late)")
    'month-3-late'
    """
    return "-".join(re.findall(r"[^\W_]+", name.lower()))[:60].strip("-") or "batch"


def _number(id: str) -> int:
    return int(id.split("-", 1)[0])


def _take(file: pq.ParquetFile, indexes: np.ndarray) -> pa.Table:
    """Return the rows of a file at ascending indexes, read batch by batch."""
    import numpy as np
    import pyarrow as pa

    passed, parts = 0, []
    for batch in file.iter_batches(BATCH_ROWS):
        low, high = np.searchsorted(indexes, [passed, passed + len(batch)])
        parts.append(batch.take(pa.array(indexes[low:high] - passed)))
        passed += len(batch)
    return pa.Table.from_batches(parts, file.schema_arrow)


def _read_all(file: pq.ParquetFile) -> pa.Table:
    """Return all rows of a file; to share a small one between threads would cost more than to read it."""
    return file.read(use_threads=file.metadata.num_rows > BATCH_ROWS)


def _frame(path: Path) -> pd.DataFrame:
    return _whole_table(path).to_pandas()


def _whole_table(path: Path) -> pa.Table:
    """Return all rows of a file, which must not be changed."""
    with contextlib.suppress(OSError):  # of what is wrong, the reading tells more
        return _KEPT.read(path, lambda path: _read_table(path, _read_all))
    return _read_table(path, _read_all)


def _read(path: Path, read: Callable[[pq.ParquetFile], pa.Table]) -> pd.DataFrame:
    return _read_table(path, read).to_pandas()


def _read_table(path: Path, read: Callable[[pq.ParquetFile], pa.Table]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return read(file)
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing; {_remedy(path)}") from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: is damaged: {' '.join(str(error).split())}; {_remedy(path)}") from None


def _remedy(path: Path) -> str:
    return f"run `dvc checkout --force {path}` in the project's folder to restore the versioned file"


def digest_of(folder: Path) -> str:
    """Return the digest of the row files in an experience's folder."""
    files = "".join(f"{split} {sha256(folder / f'{split}.parquet')}\n" for split in SPLITS)
    return hashlib.sha256(files.encode()).hexdigest()
