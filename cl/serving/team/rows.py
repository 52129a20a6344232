"""Rows of a project that a person asks to see: those that show an alarm, and those that were set aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cl import plugins
from cl.errors import InputError
from cl.ingestion.quarantine import read_quarantine
from cl.monitoring.notices import rows_to_label
from cl.monitoring.traffic import latest_traffic_checks
from cl.serving.team.overview import TRAFFIC_CHECKS, OpenedProject
from cl.serving.team.records import ExampleRow, QuarantineRow, QuarantineRows
from cl.serving.team.texts import ROW, shorten
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts, is_known, read_known_ids
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.logged_values import from_log
from cl.stores.predictions.predictions import Predictions
from cl.tasks import Schema, Task, as_one_line

MOST_QUARANTINED = 20
"""Rows of a quarantine that one answer holds, as `cl quarantine show` does by default."""


def alarm_rows(opened: OpenedProject, alarm: str) -> list[ExampleRow]:
    """Return the rows that show an alarm best; on served traffic, those that are worth labelling.

    Raises:
        InputError: there is no such alarm.
        StoreError: a file is damaged.
    """
    for check in latest_traffic_checks(opened.project, TRAFFIC_CHECKS):
        if check.id == alarm:
            return _served_rows(opened, rows_to_label(check.drift))
    stores = opened.stores
    run = next((run for run in reversed(stores.finished) if run.experience == alarm), None)
    if run is None:
        raise InputError(f"there is no alarm '{shorten(alarm, 80)}' in this project")
    return _experience_rows(opened, alarm, rows_to_label(stores.cycle(run).drift))


def quarantine_rows(opened: OpenedProject, experience: str, reason: str | None) -> QuarantineRows:
    """Return rows of an experience that were set aside, as `cl quarantine show` does.

    Raises:
        StoreError: there is no such experience, or its quarantine cannot be read.
    """
    rows = read_quarantine(opened.config, opened.project, experience)
    chosen = [row for row in rows if reason is None or row.reason == reason]
    shown = [
        QuarantineRow(
            id=None if row.id is None else shorten(row.id, 100),
            reason=shorten(row.reason),
            row=shorten(_describe(row.content), ROW),
            returned=row.returned,
        )
        for row in chosen[:MOST_QUARANTINED]
    ]
    return QuarantineRows(total=len(chosen), rows=shown)


def _served_rows(opened: OpenedProject, ids: Sequence[str]) -> list[ExampleRow]:
    """Return logged answers in the order of their ids, with whether a label has come since."""
    schema = plugins.build(Task, opened.config.task).schema
    logged = from_log(Predictions(opened.project).of(list(ids)), schema).set_index("id")
    hashes = hash_texts(ids)
    labelled = is_known(hashes, [hash_texts(Feedback(opened.project).last()["id"]), *read_known_ids(opened.project)])
    rows = []
    for id, has_label in zip(ids, labelled.tolist(), strict=True):
        if id not in logged.index:
            continue  # the log keeps answers for a limited time
        row = logged.loc[id]
        confidence = row.get("confidence")
        rows.append(
            ExampleRow(
                id=shorten(id, 100),
                text=shorten(_input(row, schema), ROW),
                prediction=shorten(row.get("prediction"), 100),
                confidence=None if confidence is None or pd.isna(confidence) else float(confidence),
                labelled=has_label,
            )
        )
    return rows


def _experience_rows(opened: OpenedProject, experience: str, ids: Sequence[str]) -> list[ExampleRow]:
    """Return rows of an experience with their labels."""
    rows = Experiences(opened.project).named(experience, ids)
    task: Task = plugins.build(Task, opened.config.task)
    texts, labels = task.texts(rows), rows[task.schema.answer.name].map(task.describe)
    return [
        ExampleRow(id=shorten(id, 100), text=shorten(text, ROW), label=shorten(label, 100), labelled=True)
        for id, text, label in zip(rows["id"], texts, labels, strict=True)
    ]


def _input(row: pd.Series[Any], schema: Schema) -> str:
    inputs = [as_one_line(column.kind, row.get(column.name)) for column in schema.inputs]
    return " | ".join(filter(None, inputs))


def _describe(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
