"""Where a version comes from: its parents, back to the pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cl.config import Config, parse
from cl.records import REWRITTEN, Cycle, VersionInfo
from cl.records.history import History
from cl.stores.mlflow.registry import FORM, PARENT, Registry
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history


@dataclass(frozen=True)
class LocalVersion:
    """A version, its checked folder on this machine, and where it comes from; None: there is none, and a model starts
    from pretrained weights.
    """

    version: str | None
    folder: Path | None
    history: History


def local_version(stores: Stores, version: str | None) -> LocalVersion:
    """Return a version with its folder, which is brought from the registry where it is not here yet."""
    folder = stores.champion_folder(version)
    return LocalVersion(version, folder, load_history(folder) if folder else History())


def ancestry(version: str | None, versions: Sequence[VersionInfo]) -> list[str]:
    """Return a version and its parents, youngest first; [] for None."""
    parents: Mapping[str, str | None] = {one.version: one.tags.get(PARENT) for one in versions}
    line: list[str] = []
    while version and version not in line:
        line.append(version)
        version = parents.get(version)
    return line


def cycles_in_line(cycles: Sequence[Cycle], line: Sequence[str]) -> list[Cycle]:
    """Return the cycles without those whose version served once and is no parent of the one that serves now.

    After a rollback a decision rests on what belongs to the restored version: neither the alarms that the bad version
    answered, nor its training hours, nor its promotion count.
    """
    return [
        one for one in cycles if one.promotion is None or not one.promotion.promoted or one.promotion.version in line
    ]


def with_compressed(line: Sequence[str], versions: Sequence[VersionInfo]) -> list[str]:
    """Return a line with the versions that were derived from its members: a student serves where its teacher learns."""
    found = list(line)
    for one in sorted(versions, key=lambda one: int(one.version)):
        if one.tags.get(FORM) and one.tags.get(PARENT) in found and one.version not in found:
            found.append(one.version)
    return found


def teachers(version: str | None, versions: Sequence[VersionInfo]) -> list[str]:
    """Return the versions that one was derived from, its own teacher first; [] where it was learnt."""
    infos, found = {one.version: one for one in versions}, list[str]()
    while version in infos and infos[version].tags.get(FORM) and (parent := infos[version].tags.get(PARENT)):
        found.append(parent)
        version = parent
    return found


def read_history(registry: Registry, version: VersionInfo) -> History | None:
    """Return where a version comes from, also when its files are gone; None where its run is gone, too."""
    text = registry.record(version, "history.json")
    return None if text is None else History.model_validate_json(text)


def recorded_config(config: Config, history: History) -> Config:
    """Return the configuration that a version was learnt with, over the stores of today's.

    Raises:
        ConfigError: this code cannot read it any more.
    """
    return parse({**history.config, "stores": config.stores.model_dump(mode="json")}, where="its configuration")


def find_base(stores: Stores, champion: LocalVersion, *, then: str = "student") -> LocalVersion:
    """Return what the next update is trained from: the champion, unless it is derived, or its weights must forget.

    Of a champion in int8 or ONNX it is the version that it was made of; of a student, with ``then: teacher``, its
    teacher. One that is not there any more leaves what was derived from it.

    Weights that have learnt from rows which were forgotten keep traces of them, whatever is trained on top. Then it is
    the last version that never learnt from those experiences, or the pretrained weights, and all that was learnt since
    is learnt again, together.
    """
    history = champion.history
    if not history.residual_experiences:
        return find_learning_version(stores, champion, then)
    infos = {one.version: one for one in stores.registry.versions()}
    for version in ancestry(champion.version, list(infos.values())):
        found = read_history(stores.registry, infos[version]) if version in infos else None
        clean = (
            found is not None
            and not found.residual_experiences
            and not set(found.learnt) & set(history.residual_experiences)
        )
        if clean and infos[version].withdrawn is None:
            return local_version(stores, version)
    return LocalVersion(None, None, History())


def find_learning_version(stores: Stores, base: LocalVersion, then: str = "student") -> LocalVersion:
    """Return the version of a line of teachers and students that learns."""
    infos = {one.version: one for one in stores.registry.versions()} if base.history.form else {}
    while base.history.form in REWRITTEN or (base.history.form == "student" and then == "teacher"):
        parent = infos.get(base.history.parent or "")
        if parent is None or parent.withdrawn is not None:
            break
        base = local_version(stores, parent.version)
    return base
