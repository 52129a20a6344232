"""All stores of a project, opened from its configuration."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.config import Config, PluginSpec
from cl.config.secrets import FROM_ENVIRONMENT, hide_value
from cl.errors import ConfigError, IntegrityError
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import Experiences
from cl.stores.files import move_into_place, write_text
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import Registry
from cl.stores.mlflow.relocation import follow_folder
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_copies import mark_used, remove_unneeded_copies, share_with_copies

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
END_OF_TIME = "9999"
"""Sorts after every time in the log."""


@dataclass(frozen=True)
class Stores:
    """Everything outside the process that a cycle reads and writes."""

    project: ProjectFolder
    experiences: Experiences
    data: DataVersions
    registry: Registry
    ledger: Ledger

    def champion_folder(self, version: str | None) -> Path | None:
        """Return the checked folder of a version.

        It is downloaded from the registry if it is not on this machine, or if this machine's copy was changed. Large
        files are those of the store, where that is on this machine, or those of other copies, where they are equal.
        Copies that nothing needs make room for it.

        Raises:
            IntegrityError: neither copy is as it was registered.
        """
        if version is None:
            return None
        folder = self.project.work / "versions" / version
        entries = self.ledger.entries(self.registry.model)
        cited = state.cited_manifest(entries, version)
        if folder.exists():
            try:
                mark_used(folder)
                check_manifest(folder, cited)
                return folder
            except IntegrityError as error:
                log.warning("%s; it is downloaded from the registry again", error)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=_made(folder.parent)) as scratch:
            fresh = self.registry.download(version, Path(scratch) / "fresh")
            check_manifest(fresh, cited)
            share_with_copies(fresh, folder.parent, Path(scratch))
            move_into_place(fresh, folder)
        mark_used(folder)
        remove_unneeded_copies(self.project, entries, version)
        return folder

    def unlabelled(self, most: int) -> pd.DataFrame:
        """Return at most ``most`` logged requests that are in no experience, as they were logged."""
        import numpy as np

        from cl.stores.data.fingerprints import hash_texts, read_known_ids
        from cl.stores.predictions.predictions import Predictions

        logged = Predictions(self.project).sample("", END_OF_TIME, most=most)
        if logged.empty:
            return logged
        known = np.concatenate([*read_known_ids(self.project), np.array([], dtype=np.uint64)])
        return logged[~np.isin(hash_texts(logged["id"].to_numpy()), known)].reset_index(drop=True)

    def texts(self, task: PluginSpec, experience: str, ids: list[str]) -> dict[str, str]:
        """Return id -> text of an experience's rows; ids that are no longer there are left out."""
        from cl import plugins
        from cl.tasks import Task, as_one_line

        rows, inputs = self.experiences.named_table(experience, ids), plugins.build(Task, task).schema.inputs
        read = [column for column in inputs if column.kind.is_read]
        shown = [[as_one_line(column.kind, value) for value in rows[column.name].to_pylist()] for column in read]
        return dict(zip(rows["id"].to_pylist(), map(" | ".join, zip(*shown, strict=True)), strict=True))

    @property
    def _finished_file(self) -> Path:
        return self.project.work / "finished.json"

    def finished(self) -> list[str]:
        """Return the experiences whose cycle has ended, as far as this machine knows; the registry knows them all."""
        file = self._finished_file
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []

    def remember_finished(self, experience: str) -> None:
        """Record that an experience's cycle has ended, so that a search for new ones needs no registry."""
        write_text(self._finished_file, json.dumps(sorted({*self.finished(), experience})))

    def next_check(self, made: int, cycle: str) -> int:
        """Return the number of the next drift check; no two cycles get the same number.

        Args:
            made: checks that the registry knows of; this machine may know more, whose cycles never ended.
            cycle: the cycle that checks; if it was killed before it stored its number, it gets that number again.
        """
        file = self.project.work / "checks.json"
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else 0
        last, holder = (kept, None) if isinstance(kept, int) else kept  # older versions stored the number alone
        if holder == cycle and last > made:
            return last
        number = 1 + max(made, last)
        write_text(file, json.dumps([number, cycle]))
        return number


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_stores(project: ProjectFolder, config: Config, *, reading: bool = False) -> Stores:
    """Return the stores that the configuration names; each is opened on first use.

    Args:
        project: the folder.
        config: its configuration.
        reading: nothing will be written to the registry, which is then read faster.

    Raises:
        ConfigError: an environment variable that locates a store is not set, or the stores do not fit together.
        StoreError: the project was moved or copied without its files.
    """
    settings = config.stores
    tracking_uri = project.resolve(from_environment("stores.tracking_uri", settings.tracking_uri))
    if objection := settings.objection(tracking_uri):
        raise ConfigError(f"{project.config}: stores: {objection}")
    artifacts = settings.artifacts and project.resolve(settings.artifacts)
    follow_folder(tracking_uri, artifacts, config.name, project.root)
    return Stores(
        project=project,
        experiences=Experiences(project),
        data=DataVersions(project, project.resolve(settings.dvc_remote)),
        registry=Registry(
            tracking_uri,
            artifacts,
            config.name,
            kept=project.work / "finished",
            reading=reading,
        ),
        ledger=Ledger(
            project.resolve(from_environment("stores.ledger_uri", settings.ledger_uri)),
            from_environment("stores.ledger_key", settings.ledger_key).encode() if settings.ledger_key else None,
        ),
    )


def from_environment(key: str, value: str) -> str:
    """Return a value; for ``env:NAME``, the value of that environment variable. No message shows its secrets later.

    Raises:
        ConfigError: the variable is not set; the message names the configuration ``key``.
    """
    name = value.removeprefix(FROM_ENVIRONMENT)
    is_resolved = name != value
    if is_resolved and not os.environ.get(name):
        raise ConfigError(f"{key}: the environment variable {name} is not set")
    resolved = os.environ[name] if is_resolved else value
    hide_value(key, resolved, is_resolved=is_resolved)
    return resolved
