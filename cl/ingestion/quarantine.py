"""What ingestion set aside, row by row, and whether it came back mended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cl import plugins
from cl.config import Config
from cl.ingestion.check_rows import canonical_columns, input_rows
from cl.ingestion.deduplicate import REASONS
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import input_columns
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Schema, Task


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that was set aside: as the source delivered it, and why."""

    experience: str
    id: str | None
    reason: str
    raw: str
    """The row as JSON: an object, or a text where the line could not be read."""

    returned: str | None = None
    """The later experience that holds it, mended; None: it has not come back."""

    @property
    def content(self) -> dict[str, Any] | str:
        """The row's columns, or the line that could not be read."""
        value = _parse(self.raw)
        return value if isinstance(value, dict) else str(value)


def read_quarantine(config: Config, project: ProjectFolder, experience: str | None = None) -> list[QuarantinedRow]:
    """Return the rows that were set aside, of one experience or of all, oldest first.

    A row has come back if a later experience has a row with its id, or with the same input. An id that was set aside
    because another row has it says nothing.

    Args:
        config: the columns of the source.
        project: the project.
        experience: its id; None: all.

    Raises:
        StoreError: there is no such experience, or a file is missing or damaged.
    """
    store = Experiences(project)
    everything = store.all()
    chosen = everything if experience is None else [store.get(experience)]
    rows = [row for item in chosen for row in _rows_of(store, item.id)]
    waiting = dict(enumerate(rows))
    task: Task = plugins.build(Task, config.task)
    schema, inputs = task.schema, dict(zip(waiting, _inputs(config, task, rows), strict=True))
    for later in everything:
        earlier = {index: row for index, row in waiting.items() if _number(row.experience) < _number(later.id)}
        if not earlier:
            continue
        ids, texts = _held(store, later.id, schema)
        for index, row in earlier.items():
            if (row.id in ids and row.reason not in REASONS.values()) or inputs[index] in texts:
                rows[index] = QuarantinedRow(row.experience, row.id, row.reason, row.raw, returned=later.id)
                del waiting[index]
    return rows


def summarise(rows: Iterable[QuarantinedRow]) -> list[dict[str, Any]]:
    """Return the number of rows by experience and reason, and how many of them came back."""
    counts: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        nothing = {"experience": row.experience, "reason": row.reason, "rows": 0, "returned": 0}
        entry = counts.setdefault((row.experience, row.reason), nothing)
        entry["rows"] += 1
        entry["returned"] += row.returned is not None
    return list(counts.values())


def _rows_of(store: Experiences, id: str) -> list[QuarantinedRow]:
    frame = store.quarantined(id)
    columns = (frame[name].tolist() for name in ("id", "reason", "row"))
    return [QuarantinedRow(id, key, reason, raw) for key, reason, raw in zip(*columns, strict=True)]


def _held(store: Experiences, id: str, schema: Schema) -> tuple[set[str], set[str]]:
    """Return the ids and the inputs of an experience's rows."""
    inputs = pd.concat([store.column(id, name) for name in schema.input_names], axis=1)
    return set(store.column(id, "id")["id"]), set(input_columns(inputs, schema))


def _inputs(config: Config, task: Task, rows: list[QuarantinedRow]) -> list[str | None]:
    """Return the model's input of each row, as an experience would store it; None where there is none."""
    contents = [row.content for row in rows]
    readable = [index for index, content in enumerate(contents) if isinstance(content, dict)]
    frame = pd.DataFrame([contents[index] for index in readable], dtype=object)
    inputs: list[str | None] = [None] * len(rows)
    for columns in (config, canonical_columns(config)):  # logged rows have canonical columns
        names = [columns.data.name_of(name) for name in task.schema.input_names]
        if {*names, *columns.data.join} <= set(frame.columns):
            present = frame.reindex(columns=[*frame.columns, *_absent(columns, frame)])
            values = input_rows(present, columns, task)[task.schema.input_names]
            complete = values.notna().all(axis=1).to_numpy()
            texts = iter(input_columns(values[complete], task.schema))
            for index, has_all in zip(readable, complete, strict=True):
                text = next(texts) if has_all else None
                inputs[index] = text if inputs[index] is None else inputs[index]
    return inputs


def _absent(config: Config, frame: pd.DataFrame) -> list[str]:
    names = [config.data.id, config.data.date]
    return [name for name in dict.fromkeys(names) if name is not None and name not in frame.columns]


def _parse(raw: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _number(id: str) -> int:
    return int(id.split("-", 1)[0])
