"""Lookup of versions and their records, shared by the commands about versions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cl.errors import InputError, StoreError
from cl.promotion.outside import warn_of_changes
from cl.records import Cycle, Evaluation, VersionInfo
from cl.records.history import History
from cl.registry.lineage import ancestry, read_history
from cl.stores.data.label_changes import LabelHistory, read_label_changes
from cl.stores.mlflow.runs import Runs
from cl.stores.opened import OpenProject


@dataclass(frozen=True)
class VersionCatalogue:
    """All versions of an opened project, and the runs of the cycles that made them."""

    project: OpenProject
    infos: dict[str, VersionInfo]
    runs: Runs

    @cached_property
    def cycles(self) -> list[Cycle]:
        """All finished cycles, oldest first."""
        return self.runs.cycles()

    @cached_property
    def recorded(self) -> frozenset[str]:
        """The cycles, also unfinished ones and those of derived versions, whose runs MLflow still has."""
        return frozenset(self.runs.recorded()[0])

    def get(self, version: str) -> VersionInfo:
        """Return one version.

        Raises:
            InputError: there is no such version.
        """
        if version not in self.infos:
            known = ", ".join(self.infos) or "none"
            raise InputError(f"no version {version} of '{self.project.config.name}'; there are: {known}")
        return self.infos[version]

    def history(self, version: str) -> History:
        """Return the history of a version, even if its files are gone.

        Raises:
            StoreError: the registry has no record of it.
        """
        history = read_history(self.project.stores.registry, self.infos[version])
        if history is None:
            raise StoreError(f"version {version} of '{self.project.config.name}' has no record; its run was removed")
        return history

    def evaluation(self, version: str) -> Evaluation | None:
        """Return the evaluation of a version; None: the registry does not have it."""
        text = self.project.stores.registry.files.record(self.infos[version], "evaluation.json")
        return None if text is None else Evaluation.model_validate_json(text)

    def cycle(self, version: str) -> Cycle | None:
        """Return the cycle that ended with a version; None: there is none."""
        run = self.runs.past.run_of_version(version)
        return self.runs.cycle(run) if run else None

    def verdict(self, version: str) -> str:
        """Return the outcome of a version's cycle in one word, or how a version that no cycle ended with was made.

        Raises:
            StoreError: the registry has no record of it.
        """
        if (cycle := self.cycle(version)) is not None:
            return cycle.verdict
        history = self.history(version)
        if history.form is not None:
            return "derived"
        if history.cycle and history.cycle not in self.recorded:  # somebody removed its run from MLflow
            return "not recorded"
        if history.cycle.startswith("labels-"):
            return "relabelled"
        return "superseded" if self.runs.past.run_of(history.cycle) else "forgot"

    def line(self, version: str) -> list[str]:
        """Return a version and its ancestors, youngest first."""
        return ancestry(version, list(self.infos.values()))

    def labels(self, version: str) -> set[str]:
        """Return the labels that a version knows, under the names that they had when it was made."""
        trained = [
            cycle.training for ancestor in self.line(version) if (cycle := self.cycle(ancestor)) and cycle.training
        ]
        made_after = self.history(version).label_changes
        changes = LabelHistory(read_label_changes(self.project.project).changes[:made_after])
        names = {label for training in trained for label in training.labels_added}
        names |= {label for change in changes.changes for label in change.into}
        read = [changes.read(label) for label in names]
        return {name for name, ended in read if ended is None}


def read_versions(project: OpenProject) -> VersionCatalogue:
    """Return the versions of an opened project."""
    project.stores.registry.initialise()
    infos = {info.version: info for info in project.stores.registry.versions()}
    catalogue = VersionCatalogue(project, infos, project.stores.registry.runs)
    warn_of_changes(project.stores.registry, project.stores.ledger.readable(project.config.name)[0])
    return catalogue


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys as dotted ones."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
