"""Rows from the server's own log: predictions, joined with the labels that feedback gave them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from cl.ingestion.sources import InputBatch, Source, Stamp, stamp_of
from cl.ingestion.values import as_label, as_text, as_words, raw_json
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import content_columns, hash_texts, load_known
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder

log = logging.getLogger(__name__)
NAME = "serving"


class Serving(Source):
    """Predictions of `cl serve` with the latest feedback on each, as one batch, each row once.

    A row that an experience already holds, or that was set aside, is not returned again unless its label changes. A
    label for a prediction that is not, or no longer, in the log has no text and is ignored.

    >>> Serving(min_rows=200).min_rows
    200
    """

    canonical: ClassVar[bool] = True

    min_rows: int = Field(50, ge=1, description="New labelled rows that make a batch; fewer wait for more")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield the rows that have not been ingested yet, if there are enough of them.

        Raises:
            StoreError: a file of the log is damaged.
        """
        stamp = self.stamp(root)
        rows = read_new_rows(ProjectFolder(root))
        if len(rows) < self.min_rows:
            log.info("%d new labelled predictions; %d make a batch", len(rows), self.min_rows)
            return
        chunks = (rows.iloc[start : start + chunk_rows] for start in range(0, len(rows), chunk_rows))
        yield InputBatch(name=NAME, origin=NAME, chunks=chunks, stamp=stamp.digest)

    def stamp(self, root: Path) -> Stamp:
        """Return a stamp of the feedback, which is never partially written and need not settle."""
        present = [path for path in Feedback(ProjectFolder(root)).files() if path.exists()]
        return Stamp(stamp_of(present).digest, changed_at=0.0)


def read_new_rows(project: ProjectFolder) -> pd.DataFrame:
    """Return id, text and label (or tokens and tags), and date of labelled predictions that no experience holds.

    Raises:
        StoreError: a file of the log is damaged.
    """
    feedback, known = Feedback(project).last(), load_known(project)
    feedback = feedback[~_is_known(hash_texts(feedback["id"]), known.ids)]
    predictions = Predictions(project).of(feedback["id"].tolist())
    rows = feedback.drop(columns="recorded_at").merge(predictions, on="id")
    if len(rows) < len(feedback):
        log.info("%d labels belong to no logged prediction and are ignored", len(feedback) - len(rows))
    if "tokens" in rows and rows["tokens"].notna().any():
        tags = [words and list(map(as_label, words)) for words in map(as_words, rows["tags"])]
        rows = rows.assign(tokens=list(map(as_words, rows["tokens"])), tags=tags)
        rows = rows[["id", "tokens", "tags", "date"]].dropna(subset=["tokens"])
    else:
        labels = [label and as_label(label) for label in as_text(rows["label"])]
        rows = rows.assign(text=as_text(rows["text"]), label=labels)
        rows = rows[["id", "text", "label", "date"]].dropna(subset=["text"])
    complete = rows.drop(columns="date").dropna().index
    seen = pd.Series(False, index=rows.index)
    seen[complete] = _is_known(hash_texts(content_columns(rows.loc[complete])), known.contents)
    return _drop_quarantined(rows[~seen], project).reset_index(drop=True)


def _drop_quarantined(rows: pd.DataFrame, project: ProjectFolder) -> pd.DataFrame:
    """Return the rows without those that are in quarantine unchanged."""
    stream = Experiences(project)
    parts = [
        stream.quarantined(experience.id)
        for experience in stream.all()
        if experience.source == NAME and experience.quarantined
    ]
    quarantined = {(row.id, row.row) for part in parts for row in part.itertuples()}
    fresh = [pair not in quarantined for pair in zip(rows["id"], raw_json(rows), strict=True)]
    return rows[np.array(fresh, dtype=bool)]


def _is_known(values: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    is_known = np.zeros(len(values), dtype=bool)
    for past in known:
        is_known |= np.isin(values, past)
    return is_known
