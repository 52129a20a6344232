"""Lineage: the ancestors of a version, back to the pretrained weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cl.config import Config, parse
from cl.errors import ConfigError
from cl.records import REWRITTEN, CycleOutline, VersionInfo
from cl.records.history import History
from cl.stores.mlflow.registry import FORM, PARENT, Registry
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history


@dataclass(frozen=True)
class LocalVersion:
    """A version, its verified local folder, and its history; version and folder are None for the pretrained weights."""

    version: str | None
    folder: Path | None
    history: History


def local_version(stores: Stores, version: str | None) -> LocalVersion:
    """Return a version with its folder, downloaded from the registry if needed."""
    folder = stores.champion_folder(version)
    return LocalVersion(version, folder, load_history(folder) if folder else History())


def ancestry(version: str | None, versions: Sequence[VersionInfo]) -> list[str]:
    """Return a version and its ancestors, newest first; [] for None."""
    parents: Mapping[str, str | None] = {info.version: info.tags.get(PARENT) for info in versions}
    line: list[str] = []
    while version and version not in line:
        line.append(version)
        version = parents.get(version)
    return line


def cycles_in_line(cycles: Iterable[CycleOutline], line: Collection[str]) -> Iterator[CycleOutline]:
    """Yield the cycles without those whose promoted version is not in the line of ancestors.

    After a rollback, decisions rest on the history of the restored version only: the alarms that the bad version
    resolved, its training time and its promotion do not count.
    """
    yield from (cycle for cycle in cycles if not cycle.promoted or cycle.version in line)


def extend_with_compressed(line: Sequence[str], versions: Sequence[VersionInfo]) -> list[str]:
    """Return a line extended by the versions derived from its members: a student may serve for its teacher."""
    extended = list(line)
    for info in sorted(versions, key=lambda info: int(info.version)):
        if info.tags.get(FORM) and info.tags.get(PARENT) in extended and info.version not in extended:
            extended.append(info.version)
    return extended


def teachers(version: str | None, versions: Sequence[VersionInfo]) -> list[str]:
    """Return the chain of teachers of a derived version, its own teacher first; [] if it was trained."""
    infos, chain = {info.version: info for info in versions}, list[str]()
    while version in infos and infos[version].tags.get(FORM) and (parent := infos[version].tags.get(PARENT)):
        chain.append(parent)
        version = parent
    return chain


def read_history(registry: Registry, version: VersionInfo) -> History | None:
    """Return the history of a version, even if its files were removed; None if its run was deleted, too."""
    text = registry.files.record(version, "history.json")
    return None if text is None else History.model_validate_json(text)


def recorded_config(config: Config, history: History) -> Config:
    """Return the configuration that a version was trained with, with the stores of the given one.

    Raises:
        ConfigError: this code can no longer read it.
    """
    return parse({**history.config, "stores": config.stores.model_dump(mode="json")}, where="its configuration")


def recorded_or_current(config: Config, history: History) -> Config:
    """Return the configuration that a version was trained with; the current one if that is no longer valid."""
    try:
        return recorded_config(config, history)
    except ConfigError:
        return config


def find_base(stores: Stores, champion: LocalVersion, *, then: str = "student") -> LocalVersion:
    """Return the version that the next update starts from: the champion, unless it is derived or retains deleted data.

    For a champion in int8 or ONNX, this is the version that it was converted from; for a student with
    ``then: teacher``, its teacher. If that version no longer exists, the derived one is used.

    Weights trained on rows that were deleted since retain traces of them, whatever is trained on top. Then the base is
    the last version that never learned from those experiences, or the pretrained weights, and everything learned since
    is learned again, jointly. A version that has learned descriptions of labels alone is no base either: with the first
    rows, everything is chosen again.
    """
    history = champion.history
    if stores.experiences.are_descriptions(history.learnt):
        return LocalVersion(None, None, History())
    if not history.residual_experiences:
        return find_learning_version(stores, champion, then)
    infos = {info.version: info for info in stores.registry.versions()}
    for version in ancestry(champion.version, list(infos.values())):
        ancestor = read_history(stores.registry, infos[version]) if version in infos else None
        clean = (
            ancestor is not None
            and not ancestor.residual_experiences
            and not set(ancestor.learnt) & set(history.residual_experiences)
        )
        if clean and infos[version].withdrawn is None:
            return local_version(stores, version)
    return LocalVersion(None, None, History())


def find_learning_version(stores: Stores, base: LocalVersion, then: str = "student") -> LocalVersion:
    """Return the version that learns for a derived one: the version it was converted from, or its teacher."""
    infos = {info.version: info for info in stores.registry.versions()} if base.history.form else {}
    while base.history.form in REWRITTEN or (base.history.form == "student" and then == "teacher"):
        parent = infos.get(base.history.parent or "")
        if parent is None or parent.withdrawn is not None:
            break
        base = local_version(stores, parent.version)
    return base
