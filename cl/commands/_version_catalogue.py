"""What commands about versions have in common: a version and what the registry keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cl.errors import InputError, StoreError
from cl.records import Cycle, Evaluation, VersionInfo
from cl.registry.lineage import History, ancestry, read_history
from cl.stores.opened import OpenProject


@dataclass(frozen=True)
class VersionCatalogue:
    """All versions of an opened project, and the cycles that made them."""

    at: OpenProject
    infos: dict[str, VersionInfo]
    cycles: list[Cycle]

    def get(self, version: str) -> VersionInfo:
        """Return one version.

        Raises:
            InputError: there is none of that number.
        """
        if version not in self.infos:
            known = ", ".join(self.infos) or "none"
            raise InputError(f"no version {version} of '{self.at.config.name}'; there are: {known}")
        return self.infos[version]

    def history(self, version: str) -> History:
        """Return where a version comes from, also when its files are gone.

        Raises:
            StoreError: the registry has no record of it.
        """
        found = read_history(self.at.stores.registry, self.infos[version])
        if found is None:
            raise StoreError(f"version {version} of '{self.at.config.name}' has no record; its run was removed")
        return found

    def evaluation(self, version: str) -> Evaluation | None:
        """Return how good a version was when it was registered."""
        text = self.at.stores.registry.record(self.infos[version], "evaluation.json")
        return None if text is None else Evaluation.model_validate_json(text)

    def cycle(self, version: str) -> Cycle | None:
        """Return the cycle that made a version; None: `cl forget` did."""
        return next((one for one in self.cycles if one.promotion and one.promotion.version == version), None)

    def verdict(self, version: str) -> str:
        """Return how the cycle ended that made a version; in a word of its own where none did, or for another one.

        Raises:
            StoreError: the registry has no record of it.
        """
        if (cycle := self.cycle(version)) is not None:
            return cycle.verdict
        history = self.history(version)
        if history.form is not None:
            return "derived"
        return "gave way" if any(one.id == history.cycle for one in self.cycles) else "forgot"

    def line(self, version: str) -> list[str]:
        """Return a version and its parents, youngest first."""
        return ancestry(version, list(self.infos.values()))

    def labels(self, version: str) -> set[str]:
        """Return the labels that a version knows."""
        trained = [cycle.training for one in self.line(version) if (cycle := self.cycle(one)) and cycle.training]
        return {label for one in trained for label in one.labels_added}


def read_versions(at: OpenProject) -> VersionCatalogue:
    """Return the versions of an opened project."""
    at.stores.registry.initialise()
    infos = {one.version: one for one in at.stores.registry.versions()}
    return VersionCatalogue(at, infos, at.stores.registry.cycles())


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys as dotted ones."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found
