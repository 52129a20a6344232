"""Deduplicate notifications: the watcher runs every few minutes, but each finding is sent once.

Each key has its own file, so that two flows notifying at the same moment cannot overwrite each other's state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder

KEPT = 500


def notify_once(project: ProjectFolder, key: str, tell: Callable[[], None], *, saying: str = "") -> None:
    """Call ``tell`` unless the last notice under this key said the same; after a kill in between, it is sent again."""
    if is_new(project, key, saying):
        tell()
        remember_notified(project, key, saying)


def is_new(project: ProjectFolder, key: str, saying: str = "") -> bool:
    """Return whether no notice was sent under a key yet, or the last one said something else."""
    try:
        return _file(project, key).read_text(encoding="utf-8") != _content(key, saying)
    except FileNotFoundError:
        return True


def remember_notified(project: ProjectFolder, key: str, saying: str = "") -> None:
    """Remember the last notice sent under a key; forget the oldest keys."""
    write_text(_file(project, key), _content(key, saying))
    ages = {path: _written_at(path) for path in _folder(project).glob("*.txt")}
    for path in sorted(ages, key=lambda path: ages[path])[:-KEPT]:
        path.unlink(missing_ok=True)


def forget_notified(project: ProjectFolder, key: str) -> None:
    """Forget a key, so that its next notice is new."""
    _file(project, key).unlink(missing_ok=True)


def _folder(project: ProjectFolder) -> Path:
    return project.work / "notified"


def _file(project: ProjectFolder, key: str) -> Path:
    return _folder(project) / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.txt"


def _content(key: str, saying: str) -> str:
    return f"{key}\n{saying}"


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another flow has just deleted it
        return 0.0
