"""The projects of a folder: each folder with a cl.yaml, to a bounded depth, and never through a link out of it.

A client names a project by a key that this server made from its path, so no request can name a path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cl.errors import InputError
from cl.ingestion.values import readable_path

DEPTH = 4
"""Levels below the folder in which projects are sought."""
MOST_FOLDERS, MOST_PROJECTS = 5_000, 200
SKIPPED = {"node_modules", "venv", "site-packages", "__pycache__"}
"""Folders that hold no projects of a team; those whose names begin with a dot are skipped too."""
READ = (
    *(".cl", ".cl/finished", ".cl/known", ".cl/traffic", ".cl/versions", "data", "data/experiences", "data/quarantine"),
    *("mlflow", "predictions", "predictions/feedback", "predictions/open", "reports"),
)
"""Folders inside a project from which the page reads files."""


@dataclass(frozen=True)
class ListedProject:
    """A folder with a cl.yaml; ``path`` is relative to the team's folder, and fit to be shown."""

    key: str
    path: str
    root: Path


@dataclass(frozen=True)
class TeamFolder:
    """The folder whose projects are shown."""

    root: Path

    def projects(self) -> tuple[list[ListedProject], bool]:
        """Return the projects in the order of their paths, and whether the search ended at a bound."""
        listed: list[ListedProject] = []
        for visited, folder in enumerate(self._folders(self.root, DEPTH), start=1):
            if visited > MOST_FOLDERS or len(listed) == MOST_PROJECTS:
                return _sorted(listed), True
            if _is_project(folder):
                relative = folder.relative_to(self.root)
                key = hashlib.sha256(os.fsencode(relative)).hexdigest()[:16]
                listed.append(ListedProject(key, readable_path(relative), folder))
        return _sorted(listed), False

    def refuse_links_out(self, root: Path) -> None:
        """Refuse a project that would be read through a symbolic link out of the folder.

        Raises:
            InputError: there is such a link; the message names it.
        """
        if root.resolve() != root:  # a folder on the way was replaced by a link since the project was listed
            raise InputError("the project's folder is behind a symbolic link now, which is not followed")
        experiences = [Path(entry.path) for entry in _entries(root / "data" / "experiences")]
        for folder in (root, *(root / name for name in READ), *experiences):
            for entry in _entries(folder):
                if entry.is_symlink() and not self.holds(Path(entry.path)):
                    name = readable_path(Path(entry.path).relative_to(root))
                    raise InputError(f"{name} is a symbolic link out of the team's folder, which is not followed")

    def holds(self, path: Path) -> bool:
        """Return whether a path lies inside the folder once all links are followed."""
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):
            return False

    def _folders(self, folder: Path, depth: int) -> Iterator[Path]:
        """Yield a folder and those below it, level by level; nothing below a project, and no link is followed."""
        level = [folder]
        for _ in range(depth + 1):
            below: list[Path] = []
            for path in level:
                yield path
                if not _is_project(path):
                    below += [Path(entry.path) for entry in _entries(path) if _is_searched(entry)]
            level = below


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds; [] if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_searched(entry: os.DirEntry[str]) -> bool:
    try:
        is_folder = entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
    return is_folder and not entry.name.startswith(".") and entry.name not in SKIPPED


def _is_project(folder: Path) -> bool:
    config = folder / "cl.yaml"
    try:
        return config.is_file() and not config.is_symlink()
    except OSError:
        return False


def _sorted(listed: list[ListedProject]) -> list[ListedProject]:
    return sorted(listed, key=lambda project: project.path)
