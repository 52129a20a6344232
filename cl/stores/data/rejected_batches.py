"""Batches of the source that could not be read when nobody stood beside: not tried again until they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from cl.records import Record
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder


class RejectedBatch(Record):
    """One batch that was left out; ``key`` is what its files and the configuration were then."""

    key: str
    origin: str
    why: str


LIST = TypeAdapter(list[RejectedBatch])


def read_rejected(project: ProjectFolder) -> list[RejectedBatch]:
    """Return the batches that were refused when the source was read last."""
    file = _file(project)
    return LIST.validate_json(file.read_bytes()) if file.exists() else []


def write_rejected(project: ProjectFolder, batches: Sequence[RejectedBatch]) -> None:
    """Write down which batches are refused now; those of before that are not among them are forgotten."""
    write_text(_file(project), LIST.dump_json(list(batches), indent=1).decode())


def _file(project: ProjectFolder) -> Path:
    return project.work / "refused.json"
