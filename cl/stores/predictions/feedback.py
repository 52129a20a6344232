"""Feedback: the true labels of served predictions, durable once acknowledged; the last label of an id counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from cl.stores.predictions.compaction import FEEDBACK
from cl.stores.predictions.predictions import damaged_log_error
from cl.stores.predictions.write_ahead_log import read_entries
from cl.stores.project_folder import ProjectFolder

COLUMNS = ("id", "label", "tags", "recorded_at", "answer")


@dataclass(frozen=True)
class Feedback:
    """All labels that `cl serve` received."""

    project: ProjectFolder

    def last(self) -> pd.DataFrame:
        """Return the last feedback on each id, in order of time, in the columns of the log.

        Read the answers with `cl.stores.predictions.logged_values.answers_in`.

        Raises:
            StoreError: a file is damaged.
        """
        parts = [*self._open(), *self._sealed()]
        rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS), dtype=object)
        return rows.sort_values("recorded_at", kind="stable").drop_duplicates("id", keep="last").reset_index(drop=True)

    def files(self) -> list[Path]:
        """Return the files of the feedback; while none of them changes, there is no new feedback."""
        return [*FEEDBACK.open(self.project), *FEEDBACK.sealed(self.project)]

    def _open(self) -> Iterator[pd.DataFrame]:
        """Yield the open logs; read before the Parquet files, so that a log compacted meanwhile is not missed."""
        for path in FEEDBACK.open(self.project):
            try:
                entries = list(read_entries(path))
            except FileNotFoundError:
                continue
            if entries:
                yield pd.DataFrame(entries, columns=list(COLUMNS), dtype=object)

    def _sealed(self) -> Iterator[pd.DataFrame]:
        for path in FEEDBACK.sealed(self.project):
            with damaged_log_error(path):
                yield pq.read_table(path).to_pandas().astype(object)
