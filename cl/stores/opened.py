"""An open project: its folder, its configuration and its stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cl import config as configuration
from cl import plugins
from cl.config import Config
from cl.errors import InputError
from cl.stores.project_folder import ProjectFolder, find_project
from cl.stores.stores import Stores, open_stores
from cl.tasks import Schema, Task


@dataclass(frozen=True)
class OpenProject:
    """A project with its configuration and stores."""

    project: ProjectFolder
    config: Config
    stores: Stores

    @property
    def schema(self) -> Schema:
        """The columns of its rows."""
        return plugins.build(Task, self.config.task).schema

    def champion(self) -> str:
        """Return the champion's version.

        Raises:
            InputError: there is no champion yet.
        """
        version = self.stores.ledger.champion(self.config.name)
        if version is None:
            raise InputError(f"model '{self.config.name}' has no champion yet: cl ingest PATH, then cl run")
        return version


def open_project(folder: Path, *, reading: bool = False) -> OpenProject:
    """Open the project in a folder or in the nearest folder above it.

    Args:
        folder: the folder.
        reading: nothing will be written to the registry, which is then read faster.

    Raises:
        InputError: there is no project, or its configuration is invalid.
    """
    project = find_project(folder)
    config = configuration.load(project.config)
    return OpenProject(project, config, open_stores(project, config, reading=reading))
