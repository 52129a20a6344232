"""Rows from the server's own log: what was predicted, with the labels that came for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from cl.ingestion.sources import Batch, Source, Stamp, stamp_of
from cl.ingestion.values import as_text, as_words, raw_json
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import content_columns, hash_texts, load_known
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder

log = logging.getLogger(__name__)
NAME = "serving"


class Serving(Source):
    """Predictions of `cl serve` for which feedback has come: the last word on each, as one batch, each row once.

    A row that an experience holds already does not come again, nor does one that was set aside, until its label is
    another one. A label that comes for a prediction which the log does not hold (any more) has no text and is left out.

    >>> Serving(min_rows=200).min_rows
    200
    """

    canonical: ClassVar[bool] = True

    min_rows: int = Field(50, ge=1, description="New labelled rows that make a batch; fewer wait for more")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield the rows that have not been handed over yet, if there are enough of them.

        Raises:
            StoreError: a file of the log is damaged.
        """
        stamp = self.stamp(root)
        rows = read_new_rows(ProjectFolder(root))
        if len(rows) < self.min_rows:
            log.info("%d new labelled predictions; %d make a batch", len(rows), self.min_rows)
            return
        chunks = (rows.iloc[at : at + chunk_rows] for at in range(0, len(rows), chunk_rows))
        yield Batch(name=NAME, origin=NAME, chunks=chunks, stamp=stamp.digest)

    def stamp(self, root: Path) -> Stamp:
        """Return a stamp of the feedback, which is never half written and need not lie still."""
        present = [path for path in Feedback(ProjectFolder(root)).files() if path.exists()]
        return Stamp(stamp_of(present).digest, changed_at=0.0)


def read_new_rows(project: ProjectFolder) -> pd.DataFrame:
    """Return id, text and label (or tokens and tags) and date of labelled predictions that no experience holds.

    Raises:
        StoreError: a file of the log is damaged.
    """
    told, known = Feedback(project).last(), load_known(project)
    told = told[~_among(hash_texts(told["id"]), known.ids)]
    answered = Predictions(project).of(told["id"].tolist())
    rows = told.drop(columns="at").merge(answered, on="id")
    if len(rows) < len(told):
        log.info("%d labels belong to no logged prediction and are left out", len(told) - len(rows))
    if "tokens" in rows and rows["tokens"].notna().any():
        rows = rows.assign(tokens=list(map(as_words, rows["tokens"])), tags=list(map(as_words, rows["tags"])))
        rows = rows[["id", "tokens", "tags", "date"]].dropna(subset=["tokens"])
    else:
        rows = rows.assign(text=as_text(rows["text"]), label=as_text(rows["label"]))
        rows = rows[["id", "text", "label", "date"]].dropna(subset=["text"])
    whole = rows.drop(columns="date").dropna().index
    seen = pd.Series(False, index=rows.index)
    seen[whole] = _among(hash_texts(content_columns(rows.loc[whole])), known.contents)
    return _not_set_aside(rows[~seen], project).reset_index(drop=True)


def _not_set_aside(rows: pd.DataFrame, project: ProjectFolder) -> pd.DataFrame:
    """Return the rows without those that lie in quarantine just as they are now."""
    stream = Experiences(project)
    parts = [stream.quarantined(one.id) for one in stream.all() if one.source == NAME and one.quarantined]
    aside = {(row.id, row.row) for part in parts for row in part.itertuples()}
    fresh = [pair not in aside for pair in zip(rows["id"], raw_json(rows), strict=True)]
    return rows[np.array(fresh, dtype=bool)]


def _among(values: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    found = np.zeros(len(values), dtype=bool)
    for past in known:
        found |= np.isin(values, past)
    return found
