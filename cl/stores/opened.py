"""A project, its configuration and its stores, as every command needs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cl import config as configuration
from cl.config import Config
from cl.errors import PerennialError
from cl.stores.project_folder import ProjectFolder, open_project
from cl.stores.stores import Stores, connect


@dataclass(frozen=True)
class Opened:
    """An existing project."""

    project: ProjectFolder
    config: Config
    stores: Stores

    def champion(self) -> str:
        """Return the version that serves.

        Raises:
            PerennialError: there is none yet.
        """
        version = self.stores.ledger.champion(self.config.name)
        if version is None:
            raise PerennialError(f"model '{self.config.name}' has no champion yet: cl ingest PATH, then cl run")
        return version


def opened(folder: Path) -> Opened:
    """Open the project at or above a folder.

    Raises:
        InputError: there is no project, or its configuration is wrong.
    """
    project = open_project(folder)
    config = configuration.load(project.config)
    return Opened(project, config, connect(project, config))
