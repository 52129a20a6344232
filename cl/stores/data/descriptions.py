"""Which descriptions of labels this machine has ingested last: what tells cheaply that there are others now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder

Described = Sequence[tuple[str, str]]
"""Label and text of each description."""


def descriptions_changed(project: ProjectFolder, described: Described) -> bool:
    """Return whether there are other descriptions than at the last call of `remember_descriptions`; it reads no row."""
    file = _file(project)
    known = file.read_text(encoding="utf-8") if file.exists() else _digest([])
    return known != _digest(described)


def remember_descriptions(project: ProjectFolder, described: Described) -> None:
    """Record that the stream has these descriptions."""
    write_text(_file(project), _digest(described))


def _digest(described: Described) -> str:
    return hashlib.sha256(repr(sorted(described)).encode()).hexdigest()


def _file(project: ProjectFolder) -> Path:
    return project.work / "descriptions.txt"
