"""Source batches that unattended ingestion rejected; they are not retried until they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from cl.records import Record
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder


class RejectedBatch(Record):
    """One rejected batch; ``key`` identifies the state of its files and the configuration."""

    key: str
    origin: str
    why: str


LIST = TypeAdapter(list[RejectedBatch])


def read_rejected(project: ProjectFolder) -> list[RejectedBatch]:
    """Return the batches rejected when the source was last read."""
    file = _file(project)
    return LIST.validate_json(file.read_bytes()) if file.exists() else []


def write_rejected(project: ProjectFolder, batches: Sequence[RejectedBatch]) -> None:
    """Store the batches rejected now, replacing the earlier list."""
    write_text(_file(project), LIST.dump_json(list(batches), indent=1).decode())


def _file(project: ProjectFolder) -> Path:
    return project.work / "refused.json"
