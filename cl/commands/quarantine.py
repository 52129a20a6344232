"""`cl quarantine`: list, show and export the rows that ingestion set aside."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cl import plugins
from cl.config import Config
from cl.errors import InputError
from cl.ingestion.quarantine import QuarantinedRow, read_quarantine, summarise
from cl.records import Experience
from cl.records.experience import unbacked_classes
from cl.stores.files import write_text
from cl.stores.opened import OpenProject, open_project
from cl.tasks import Task, ValueKind


def list_quarantine(folder: Path) -> list[dict[str, Any]]:
    """Return the rows set aside by experience and reason: their number, how many came back, and the file."""
    project = open_project(folder)
    rows = read_quarantine(project.config, project.project)
    return [{**entry, "file": _file(entry["experience"])} for entry in summarise(rows)]


def show_quarantine(folder: Path, experience: str, *, reason: str | None, limit: int) -> dict[str, Any]:
    """Return rows of an experience that were set aside: id, reason, row, and the experience in which each came back.

    Args:
        folder: the project's folder.
        experience: its id.
        reason: only rows whose reason contains this text.
        limit: the most rows.

    Raises:
        InputError: there is no such experience.
        StoreError: its quarantine cannot be read.
    """
    project = _opened(folder, experience)
    rows = _chosen(read_quarantine(project.config, project.project, experience), reason)
    shown = [{"id": row.id, "reason": row.reason, "returned": row.returned, "row": row.content} for row in rows[:limit]]
    return {"experience": experience, "file": _file(experience), "total": len(rows), "rows": shown}


def export_quarantine(
    folder: Path, path: Path, *, experience: str | None = None, reason: str | None = None
) -> dict[str, Any]:
    """Write the rows that have not come back to a file, as they came, and return how many; no row, no file.

    Args:
        folder: the project's folder.
        path: a new .csv or .jsonl file.
        experience: only rows of this experience.
        reason: only rows whose reason contains this text.

    Raises:
        InputError: the name says neither CSV nor JSON lines, the file exists, or there is no such experience.
        StoreError: its quarantine cannot be read.
    """
    writers = {".csv": _as_csv, ".jsonl": _as_json_lines, ".ndjson": _as_json_lines}
    if path.suffix.lower() not in writers:
        raise InputError(f"{path}: is neither CSV nor JSON lines; name a file that ends in .csv or .jsonl")
    if path.exists():
        raise InputError(f"{path}: already exists; name a new file")
    project = _opened(folder, experience)
    rows = _chosen(read_quarantine(project.config, project.project, experience), reason)
    waiting = [row for row in rows if row.returned is None]
    if not waiting:
        return {"file": None, "rows": 0, "returned": len(rows)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, writers[path.suffix.lower()](waiting, project.config))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return {"file": str(path), "rows": len(waiting), "returned": len(rows) - len(waiting)}


def describe_ingested(folder: Path, experiences: Sequence[Experience]) -> list[dict[str, Any]]:
    """Return each ingested experience with its quarantine file and the classes that no training row has."""
    if not experiences:
        return []
    project = open_project(folder)
    every = project.stores.experiences.all()
    unbacked, labels = unbacked_classes(every), {label for experience in every for label in experience.labels}
    is_lonely = project.schema.answer.kind is ValueKind.LABEL and len(labels) == 1
    return [
        {
            **experience.model_dump(mode="json"),
            "quarantine_file": _file(experience.id) if experience.quarantined else None,
            "unbacked_classes": unbacked.get(experience.id, []),
            "only_label": next(iter(labels)) if is_lonely else None,
        }
        for experience in experiences
    ]


def _opened(folder: Path, experience: str | None) -> OpenProject:
    """Open a project.

    Raises:
        InputError: it has no such experience.
    """
    project = open_project(folder)
    known = [known.id for known in project.stores.experiences.all()]
    if experience is not None and experience not in known:
        raise InputError(f"no experience '{experience}'; there are: {', '.join(known) or 'none'}")
    return project


def _file(experience: str) -> str:
    return f"data/quarantine/{experience}.parquet"


def _chosen(rows: list[QuarantinedRow], reason: str | None) -> list[QuarantinedRow]:
    return [row for row in rows if reason is None or reason in row.reason]


def _as_json_lines(rows: Sequence[QuarantinedRow], config: Config) -> str:
    lines = (row.content if isinstance(row.content, str) else row.raw for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _as_csv(rows: Sequence[QuarantinedRow], config: Config) -> str:
    """Return the rows under all their columns; a line that could not be read stays as it was."""
    contents = [row.content for row in rows]
    names = list(dict.fromkeys(name for content in contents if isinstance(content, dict) for name in content))
    data = config.data
    needed = map(data.name_of, plugins.build(Task, config.task).schema.names)
    columns = names or [name for name in (data.id, *needed) if name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for content in contents:
        if isinstance(content, dict):
            writer.writerow([_cell(content.get(name)) for name in columns])
        else:
            text.write(f"{content.rstrip()}\n")
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
