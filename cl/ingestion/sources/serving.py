"""Rows from the server's own log: predictions, joined with the labels that feedback gave them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from cl.heavy import np, pd
from cl.ingestion.deduplicate import CORRECTABLE
from cl.ingestion.sources import InputBatch, Source, Stamp, stamp_of
from cl.ingestion.values import as_label, as_text, as_words, raw_json
from cl.stores.data.corrections import outdated
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import KnownRows, content_columns, hash_texts, is_known, load_known
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.logged_values import answers_in, from_log
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Column, Schema, ValueKind

log = logging.getLogger(__name__)
NAME = "serving"
CORRECT_WITH = "cl ingest --from-serving --corrections"


class Serving(Source):
    """Predictions of `cl serve` with the latest feedback on each, as one batch, each row once.

    A row that an experience already holds, or that was set aside, is not returned again unless its label changes. A
    label for a prediction that is not, or no longer, in the log has no text and is ignored.

    >>> Serving(min_rows=200).min_rows
    200
    """

    canonical: ClassVar[bool] = True

    min_rows: int = Field(50, ge=1, description="New labelled rows that make a batch; fewer wait for more")
    _corrections_taken: bool = PrivateAttr(default=False)
    _schema: Schema | None = PrivateAttr(default=None)

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield the rows that have not been ingested yet, if there are enough of them.

        Labels that contradict an experience count as new rows only where they are taken as corrections.

        Raises:
            StoreError: a file of the log is damaged.
        """
        assert self._schema is not None
        stamp = self.stamp(root)
        labelled = read_labelled_rows(ProjectFolder(root), self._schema, corrections_taken=self._corrections_taken)
        rows, contradicting = labelled.rows, 0 if self._corrections_taken else len(labelled.relabelled)
        if len(rows) - contradicting < self.min_rows:
            log.info("%d new labelled predictions; %d make a batch", len(rows) - contradicting, self.min_rows)
            if contradicting:
                log.warning(
                    "%s: %d labels contradict rows that experiences hold; if they correct them: %s",
                    *(NAME, contradicting, CORRECT_WITH),
                )
            return
        chunks = (rows.iloc[start : start + chunk_rows] for start in range(0, len(rows), chunk_rows))
        yield InputBatch(NAME, NAME, chunks, stamp.digest, correct_with=CORRECT_WITH, is_later=True)

    def correcting(self, *, taken: bool) -> Serving:
        """Return this source for a run that takes corrections, also those that were set aside, or one that does not."""
        source = self.model_copy()
        source._corrections_taken = taken
        return source

    def for_schema(self, schema: Schema) -> Serving:
        """Return this source for inputs and answers of a schema."""
        source = self.model_copy()
        source._schema = schema
        return source

    def stamp(self, root: Path) -> Stamp:
        """Return a stamp of the feedback, which is never partially written and need not settle."""
        present = [path for path in Feedback(ProjectFolder(root)).files() if path.exists()]
        return Stamp(stamp_of(present).digest, changed_at=0.0)


@dataclass(frozen=True)
class LabelledRows:
    """Predictions with their labels: id, inputs, answer, and date.

    ``new``: rows that no experience holds; ``relabelled``: rows that one holds, with another label.
    """

    new: pd.DataFrame
    relabelled: pd.DataFrame

    @property
    def rows(self) -> pd.DataFrame:
        """All of them."""
        return pd.concat([self.new, self.relabelled], ignore_index=True) if len(self.relabelled) else self.new


def read_labelled_rows(project: ProjectFolder, schema: Schema, *, corrections_taken: bool) -> LabelledRows:
    """Return the labelled predictions that no experience holds with this label, and that were not set aside with it.

    Of the experiences that hold a labelled prediction, the columns with the ids and the labels are read; of the log,
    nothing unless a prediction is new or its label has changed.

    Args:
        project: the project.
        schema: of its rows.
        corrections_taken: rows that were set aside because they contradict an earlier one come again.

    Raises:
        StoreError: a file of the log is damaged.
    """
    feedback, known = Feedback(project).last(), load_known(project, schema)
    feedback = _with_answers(feedback, schema)
    held = is_known(hash_texts(feedback["id"]), known.ids)
    unread, relabelled = feedback[~held], _find_relabelled(project, feedback[held], known, schema)
    predictions = Predictions(project).of([*unread["id"], *relabelled["id"]])
    rows = unread.merge(from_log(predictions, schema).drop(columns="recorded_at"), on="id")
    relabelled = relabelled[relabelled["id"].isin(predictions["id"])]
    if len(rows) < len(unread):
        log.info("%d labels belong to no logged prediction and are ignored", len(unread) - len(rows))
    new = _without_outdated(_canonical(rows, schema), project, schema)
    complete = new.drop(columns="date").dropna().index
    seen = pd.Series(False, index=new.index)
    seen[complete] = is_known(hash_texts(content_columns(new.loc[complete], schema)), known.contents)
    past = _quarantined(project, except_for=CORRECTABLE if corrections_taken else frozenset())
    return LabelledRows(new=_drop_quarantined(new[~seen], past), relabelled=_drop_quarantined(relabelled, past))


def _canonical(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return labelled predictions that have all inputs in canonical columns, and when they were labelled."""
    inputs = {
        column.name: pd.Series(_read_input(column, rows[column.name]), index=rows.index, dtype=object)
        for column in schema.inputs
    }
    names = [*schema.input_names, schema.answer.name]
    return rows.assign(**inputs)[["id", *names, "date", "recorded_at"]].dropna(subset=schema.input_names)


def _read_input(column: Column, values: pd.Series) -> list[Any]:
    """Return logged inputs as experiences hold them."""
    if column.kind is ValueKind.TEXT:
        return as_text(values)
    return list(map(as_words, values)) if column.kind is ValueKind.WORDS else list(map(_as_list, values))


def _with_answers(feedback: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return feedback with its answers as experiences hold them: id, the task's answer, and when it was given."""
    answers, kind = answers_in(feedback, schema), schema.answer.kind
    if kind is ValueKind.LABEL:
        read: list[Any] = [label and as_label(label) for label in as_text(pd.Series(answers, dtype=object))]
    elif kind is ValueKind.TAGS:
        read = [words and list(map(as_label, words)) for words in map(as_words, answers)]
    elif kind is ValueKind.LABELS:
        read = [labels if labels is None else sorted(set(map(as_label, labels))) for labels in map(_as_list, answers)]
    elif kind is ValueKind.TEXT:
        read = as_text(pd.Series(answers, dtype=object))
    else:
        read = list(map(_as_list, answers))
    given = pd.Series(read, index=feedback.index, dtype=object)
    return feedback[["id", "recorded_at"]].assign(**{schema.answer.name: given})[
        ["id", schema.answer.name, "recorded_at"]
    ]


def _as_list(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else None


def _find_relabelled(project: ProjectFolder, feedback: pd.DataFrame, known: KnownRows, schema: Schema) -> pd.DataFrame:
    """Return rows that experiences hold, with the other label that feedback gives them now.

    What an experience of this source holds was the last feedback then, so that other feedback is later. A row from
    elsewhere may have been corrected since its feedback was given.
    """
    store, parts = Experiences(project), list[pd.DataFrame]()
    hashes = hash_texts(feedback["id"])
    for experience, ids in zip(known.experiences, known.ids, strict=True) if len(feedback) else ():
        ours = feedback[np.isin(hashes, ids)]
        changed = _with_other_labels(store, experience, ours, schema) if len(ours) else ours
        if len(changed):
            from_here = store.get(experience).source == NAME
            late = changed if from_here else _without_outdated(changed, project, schema)
            parts.append(late.drop(columns="recorded_at", errors="ignore"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"id": pd.Series(dtype=object)})


def _with_other_labels(store: Experiences, experience: str, feedback: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the rows of an experience that feedback gives another label, with that label."""
    column = schema.answer.name
    held = pd.concat([store.column(experience, name) for name in ("id", column)], axis=1).set_index("id")[column]
    feedback = feedback[feedback[column].notna()].set_index("id")
    before = held.reindex(feedback.index)
    differs = [_as_key(old) != _as_key(new) for old, new in zip(before, feedback[column], strict=True)]
    given = feedback[np.array(differs, dtype=bool) & before.notna().to_numpy()]
    rows = store.named(experience, given.index.tolist())
    rows = rows.assign(**{name: given[name].reindex(rows["id"]).tolist() for name in (column, "recorded_at")})
    return rows[["id", *schema.input_names, column, "date", "recorded_at"]]


def _as_key(label: object) -> object:
    return label if isinstance(label, str) or label is None else tuple(label)  # type: ignore[arg-type]


def _without_outdated(rows: pd.DataFrame, project: ProjectFolder, schema: Schema) -> pd.DataFrame:
    """Return the rows without those that say what a later correction has replaced; ``recorded_at`` is dropped."""
    complete = rows.drop(columns="date").dropna()
    given = [datetime.fromisoformat(moment) for moment in complete["recorded_at"]]
    old = complete.index[outdated(project, complete, given, schema)]
    if len(old):
        log.info("%d labels are older than a correction of their row and are ignored", len(old))
    return rows.drop(index=old, columns="recorded_at")


def _quarantined(project: ProjectFolder, *, except_for: frozenset[str] | set[str]) -> set[tuple[str, str]]:
    """Return id and content of the rows of this source that are in quarantine, but for those with certain reasons."""
    stream = Experiences(project)
    parts = [
        stream.quarantined(experience.id)
        for experience in stream.all()
        if experience.source == NAME and experience.quarantined
    ]
    return {(row.id, row.row) for part in parts for row in part.itertuples() if row.reason not in except_for}


def _drop_quarantined(rows: pd.DataFrame, quarantined: set[tuple[str, str]]) -> pd.DataFrame:
    """Return the rows without those that are in quarantine unchanged."""
    fresh = [pair not in quarantined for pair in zip(rows["id"], raw_json(rows), strict=True)]
    return rows[np.array(fresh, dtype=bool)].reset_index(drop=True)
