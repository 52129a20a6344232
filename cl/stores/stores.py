"""All stores of a project, opened from its configuration."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, PluginSpec
from cl.errors import ConfigError, IntegrityError
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts, load_known
from cl.stores.files import write_text
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import Registry
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task

AFTER_ALL = "9999"
"""Later than any time that a log writes."""


@dataclass(frozen=True)
class Stores:
    """Everything outside the process that a cycle reads and writes."""

    project: ProjectFolder
    experiences: Experiences
    data: DataVersions
    registry: Registry
    ledger: Ledger

    def champion_folder(self, version: str | None) -> Path | None:
        """Return the whole, checked folder of a version, brought from the registry if it is not here yet."""
        if version is None:
            return None
        folder = self.project.work / "versions" / version
        if not folder.exists():
            return self.registry.download(version, folder)
        try:
            check_manifest(folder)
        except IntegrityError as error:
            raise IntegrityError(f"{error}; remove {folder}, and it is brought from the registry again") from None
        return folder

    def unlabelled(self, most: int) -> pd.DataFrame:
        """Return logged questions that no experience holds, at most so many: id, text or tokens, and the answer."""
        asked = Predictions(self.project).sample("", AFTER_ALL, most=most)
        if asked.empty:
            return asked
        known = np.concatenate([*load_known(self.project).ids, np.array([], dtype=np.uint64)])
        return asked[~np.isin(hash_texts(asked["id"].to_numpy()), known)].reset_index(drop=True)

    def texts(self, task: PluginSpec, experience: str, ids: list[str]) -> dict[str, str]:
        """Return the texts of an experience's rows by their ids, where they are still there."""
        wanted = self.experiences.named(experience, ids)
        return dict(zip(wanted["id"], plugins.build(Task, task).texts(wanted), strict=True))

    @property
    def _finished_file(self) -> Path:
        return self.project.work / "finished.json"

    def finished(self) -> list[str]:
        """Return the experiences whose cycle this machine knows to have ended; the registry knows them all."""
        file = self._finished_file
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []

    def remember_finished(self, experience: str) -> None:
        """Note that an experience's cycle has ended, so that a look for new ones needs no registry."""
        write_text(self._finished_file, json.dumps(sorted({*self.finished(), experience})))

    def next_check(self, made: int, cycle: str) -> int:
        """Return the number of a drift check that is about to be made; no two cycles are given the same.

        Args:
            made: how many checks the registry knows of; this machine may know of more, whose cycles never ended.
            cycle: whose check it is; killed before it had noted its number, it is given that again.
        """
        file = self.project.work / "checks.json"
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else 0
        last, holder = (kept, None) if isinstance(kept, int) else kept  # the number alone is of an older version
        if holder == cycle and last > made:
            return last
        number = 1 + max(made, last)
        write_text(file, json.dumps([number, cycle]))
        return number


def open_stores(project: ProjectFolder, config: Config) -> Stores:
    """Return the stores that the configuration names; nothing is opened before it is used.

    Raises:
        ConfigError: an environment variable that shall say where a store is says nothing, or says what cannot be.
    """
    settings = config.stores
    tracking_uri = project.resolve(from_environment("stores.tracking_uri", settings.tracking_uri))
    if objection := settings.objection(tracking_uri):
        raise ConfigError(f"{project.config}: stores: {objection}")
    return Stores(
        project=project,
        experiences=Experiences(project),
        data=DataVersions(project, project.resolve(settings.dvc_remote)),
        registry=Registry(
            tracking_uri,
            settings.artifacts and project.resolve(settings.artifacts),
            config.name,
            kept=project.work / "finished",
        ),
        ledger=Ledger(
            project.resolve(from_environment("stores.ledger_uri", settings.ledger_uri)),
            from_environment("stores.ledger_key", settings.ledger_key).encode() if settings.ledger_key else None,
        ),
    )


def from_environment(key: str, value: str) -> str:
    """Return a value, or what the environment variable holds that ``env:NAME`` names.

    Raises:
        ConfigError: the variable is not set; ``key`` names who asked for it.
    """
    if not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    if not os.environ.get(name):
        raise ConfigError(f"{key}: the environment variable {name} is not set")
    return os.environ[name]
