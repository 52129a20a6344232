"""What the champion has answered, kept until the labels come: one Parquet file for each lot of answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from cl.errors import StoreError
from cl.stores.fingerprints import hashes, load_known
from cl.stores.local import Project

COLUMNS = ("id", "text", "tokens", "date", "prediction", "confidence", "version", "at")


@dataclass(frozen=True)
class Predictions:
    """All logged answers of a project: id, text or tokens, date, prediction, confidence, version, at."""

    project: Project

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
        parts, wanted = [], pa.array(sorted(set(ids)), pa.string())
        for path in self._files():
            try:
                table = ds.dataset(path, format="parquet").to_table(filter=ds.field("id").isin(wanted))
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"{path}: is damaged: {' '.join(str(error).split())}; take it away") from None
            if table.num_rows:
                parts.append(table.to_pandas())
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
        return found.drop_duplicates("id", keep="last")

    def sample(self, since: str, until: str, *, most: int) -> pd.DataFrame:
        """Return answers that were given after one time and not after another, each id once, in order of time.

        Of more than ``most``, those whose ids have the smallest hashes: a random sample, and always the same one.

        Args:
            since: ISO 8601 in UTC, as the log writes it.
            until: likewise.
            most: rows to return at most.
        """
        asked = (ds.field("at") > since) & (ds.field("at") <= until)
        parts = [ds.dataset(path, format="parquet").to_table(filter=asked).to_pandas() for path in self._files()]
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
        found = found.drop_duplicates("id", keep="last")
        order = np.argsort(hashes(found["id"].to_numpy()), kind="stable")[:most]
        return found.iloc[order].sort_values("at", kind="stable", ignore_index=True)

    def count(self) -> dict[str, int]:
        """Return how many different rows were answered, and how many of them have a label by now."""
        ids = [pq.read_table(path, columns=["id"])["id"].to_numpy() for path in self._files()]
        answered = np.unique(hashes(np.concatenate(ids))) if ids else np.array([], dtype=np.uint64)
        known = load_known(self.project).ids if len(answered) else []
        labelled = np.isin(answered, np.concatenate([*known, np.array([], dtype=np.uint64)]))
        return {"answered": len(answered), "labelled": int(labelled.sum())}

    def _files(self) -> Iterator[Path]:
        return iter(sorted(self.folder.glob("*.parquet")))
