"""The log of requests and predictions, kept until their labels arrive, one Parquet file per batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from cl.errors import StoreError
from cl.stores.data.fingerprints import hash_texts, read_known_ids
from cl.stores.predictions.compaction import PREDICTIONS
from cl.stores.predictions.write_ahead_log import read_entries
from cl.stores.project_folder import ProjectFolder

COLUMNS = tuple(PREDICTIONS.schema.names)


@dataclass(frozen=True)
class Predictions:
    """All logged predictions of a project: those of `cl predict --from`, and those of `cl serve` with role and latency.

    They include what `cl serve` is still writing, but not the predictions of a shadow, which no client received.
    """

    project: ProjectFolder

    @property
    def folder(self) -> Path:
        """The folder of the log; not under data/, because the predictions have no labels yet."""
        return self.project.root / "predictions"

    def append(self, rows: pd.DataFrame) -> Path:
        """Write predictions to a new file, atomically; file names sort by time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}.parquet"
        draft = path.with_suffix(".draft")
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), draft)
        draft.rename(path)
        return path

    def of(self, ids: list[str]) -> pd.DataFrame:
        """Return the last prediction for each of the given ids, in no particular order.

        Raises:
            StoreError: a file is damaged.
        """
        if not ids:
            return _frame([])
        values = pa.array(sorted(set(ids)), pa.string())
        return _frame(list(self._tables(ds.field("id").isin(values))))

    def sample(self, since: str, until: str, *, most: int) -> pd.DataFrame:
        """Return the predictions made after ``since`` and up to ``until``, each id once, in order of time.

        Of more than ``most`` rows, those whose ids have the smallest hashes: a random but reproducible sample.

        Args:
            since: ISO 8601 in UTC, as in the log.
            until: likewise.
            most: the maximum number of rows.

        Raises:
            StoreError: a file is damaged.
        """
        in_window = (ds.field("recorded_at") > since) & (ds.field("recorded_at") <= until)
        kept: list[pa.Table] = []
        for table in self._tables(in_window):
            kept.append(table)
            if sum(part.num_rows for part in kept) > 2 * most:
                kept = [_smallest(kept, most)]
        return _frame([_smallest(kept, most)] if kept else []).sort_values(
            "recorded_at", kind="stable", ignore_index=True
        )

    def count(self) -> dict[str, int]:
        """Return how many different rows were predicted, and how many of them have a label by now."""
        ids = [table["id"].to_numpy() for table in self._tables(None, columns=["id"])]
        answered = np.unique(hash_texts(np.concatenate(ids))) if ids else np.array([], dtype=np.uint64)
        known = read_known_ids(self.project) if len(answered) else []
        labelled = np.isin(answered, np.concatenate([*known, np.array([], dtype=np.uint64)]))
        return {"answered": len(answered), "labelled": int(labelled.sum())}

    def _tables(self, condition: ds.Expression | None, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the matching rows, file by file; a log compacted meanwhile may be read twice, but is not missed."""
        for path in PREDICTIONS.open(self.project):
            try:
                table = pa.Table.from_pylist(list(read_entries(path)), schema=PREDICTIONS.schema)
            except FileNotFoundError:
                continue  # compacted meanwhile
            yield from _select(ds.dataset(table), condition, columns)
        for path in PREDICTIONS.sealed(self.project):
            with damaged_log_error(path):
                yield from _select(ds.dataset(path, format="parquet"), condition, columns)


@contextmanager
def damaged_log_error(path: Path) -> Iterator[None]:
    """Turn read errors into a StoreError that names the Parquet file; a file deleted meanwhile is no error.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        yield
    except FileNotFoundError:
        return
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: is damaged: {' '.join(str(error).split())}; move it away") from None


def _select(rows: ds.Dataset, condition: ds.Expression | None, columns: list[str] | None) -> Iterator[pa.Table]:
    """Yield the matching rows of one file except a shadow's, in the given columns or in all."""
    if "role" in rows.schema.names:
        served = ds.field("role") != "shadow"
        condition = served if condition is None else condition & served
    table = rows.to_table(columns=columns, filter=condition)
    if table.num_rows:
        yield table


def _smallest(tables: list[pa.Table], most: int) -> pa.Table:
    """Return the rows whose ids have the smallest hashes, each id once, with the columns of all tables."""
    whole = pa.concat_tables(tables, promote_options="permissive")
    ids = whole["id"].to_pylist()
    _, first_indexes = np.unique(np.array(ids, dtype=object).astype(str), return_index=True)
    order = first_indexes[np.argsort(hash_texts([ids[index] for index in first_indexes]), kind="stable")]
    return whole.take(pa.array(np.sort(order[:most])))


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    rows = pd.concat([table.to_pandas() for table in tables], ignore_index=True) if tables else None
    return pd.DataFrame(columns=list(COLUMNS)) if rows is None else rows.drop_duplicates("id", keep="last")
