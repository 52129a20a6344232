"""What was asked and answered, kept until the labels come: one Parquet file for each lot of answers."""

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
from cl.stores.data.fingerprints import hash_texts, load_known
from cl.stores.predictions.compaction import PREDICTIONS
from cl.stores.predictions.write_ahead_log import read_entries
from cl.stores.project_folder import ProjectFolder

COLUMNS = tuple(PREDICTIONS.schema.names)


@dataclass(frozen=True)
class Predictions:
    """All logged answers of a project: those of `cl predict --from`, and those of `cl serve` with role and latency.

    What `cl serve` is writing at this moment is among them. A shadow's answers, which nobody was given, are not.
    """

    project: ProjectFolder

    @property
    def folder(self) -> Path:
        """Where they lie; not under data/, for they have no labels yet."""
        return self.project.root / "predictions"

    def append(self, rows: pd.DataFrame) -> Path:
        """Write answers, whole or not at all; names sort by time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}.parquet"
        draft = path.with_suffix(".draft")
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), draft)
        draft.rename(path)
        return path

    def of(self, ids: list[str]) -> pd.DataFrame:
        """Return the last answer to each of the ids that were asked about, in no special order.

        Raises:
            StoreError: a file is damaged.
        """
        wanted = pa.array(sorted(set(ids)), pa.string())
        return _frame(list(self._tables(ds.field("id").isin(wanted))))

    def sample(self, since: str, until: str, *, most: int) -> pd.DataFrame:
        """Return answers that were given after one time and not after another, each id once, in order of time.

        Of more than ``most``, those whose ids have the smallest hashes: a random sample, and always the same one.

        Args:
            since: ISO 8601 in UTC, as the log writes it.
            until: likewise.
            most: rows to return at most.

        Raises:
            StoreError: a file is damaged.
        """
        asked = (ds.field("at") > since) & (ds.field("at") <= until)
        kept: list[pa.Table] = []
        for table in self._tables(asked):
            kept.append(table)
            if sum(one.num_rows for one in kept) > 2 * most:
                kept = [_smallest(kept, most)]
        return _frame([_smallest(kept, most)] if kept else []).sort_values("at", kind="stable", ignore_index=True)

    def count(self) -> dict[str, int]:
        """Return how many different rows were answered, and how many of them have a label by now."""
        ids = [table["id"].to_numpy() for table in self._tables(None, columns=["id"])]
        answered = np.unique(hash_texts(np.concatenate(ids))) if ids else np.array([], dtype=np.uint64)
        known = load_known(self.project).ids if len(answered) else []
        labelled = np.isin(answered, np.concatenate([*known, np.array([], dtype=np.uint64)]))
        return {"answered": len(answered), "labelled": int(labelled.sum())}

    def _tables(self, wanted: ds.Expression | None, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows that are wanted, file by file; what is sealed while it is read may come twice, but comes."""
        for path in PREDICTIONS.open(self.project):
            try:
                table = pa.Table.from_pylist(list(read_entries(path)), schema=PREDICTIONS.schema)
            except FileNotFoundError:
                continue  # sealed meanwhile
            yield from _found(ds.dataset(table), wanted, columns)
        for path in PREDICTIONS.sealed(self.project):
            with damaged_log_error(path):
                yield from _found(ds.dataset(path, format="parquet"), wanted, columns)


@contextmanager
def damaged_log_error(path: Path) -> Iterator[None]:
    """Name a Parquet file that cannot be read; one that has grown too old meanwhile is no error.

    Raises:
        StoreError: it is damaged.
    """
    try:
        yield
    except FileNotFoundError:
        return
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: is damaged: {' '.join(str(error).split())}; take it away") from None


def _found(rows: ds.Dataset, wanted: ds.Expression | None, columns: list[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of one file that answer somebody, in the columns that are asked for or that it has."""
    if "role" in rows.schema.names:
        given = ds.field("role") != "shadow"
        wanted = given if wanted is None else wanted & given
    table = rows.to_table(columns=columns, filter=wanted)
    if table.num_rows:
        yield table


def _smallest(tables: list[pa.Table], most: int) -> pa.Table:
    """Return the rows whose ids have the smallest hashes, each id once, in the columns of all."""
    whole = pa.concat_tables(tables, promote_options="permissive")
    ids = whole["id"].to_pylist()
    _, first = np.unique(np.array(ids, dtype=object).astype(str), return_index=True)
    order = first[np.argsort(hash_texts([ids[at] for at in first]), kind="stable")]
    return whole.take(pa.array(np.sort(order[:most])))


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    found = pd.concat([one.to_pandas() for one in tables], ignore_index=True) if tables else None
    return pd.DataFrame(columns=list(COLUMNS)) if found is None else found.drop_duplicates("id", keep="last")
