"""Garbage-collect artifacts of versions that no retention rule keeps, and their bases; their metadata stays."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field

from cl.config import RegistrySettings
from cl.records import WITHDRAWN, Record, VersionInfo
from cl.registry.descriptions import refresh_descriptions
from cl.registry.lineage import find_base, local_version, read_history, teachers
from cl.registry.tagger import FOLDER as TAGGERS
from cl.registry.versions import passed_versions
from cl.stores.data.removal import CACHES
from cl.stores.hard_links import (
    freed_bytes,
    is_linked,
    remove_unfinished_links,
    share_among,
    share_equal_files,
)
from cl.stores.ledger import state
from cl.stores.mlflow.version_files import models_folder
from cl.stores.stores import Stores
from cl.stores.version_copies import TRASH_PREFIX

FILES = "cl.files"
REMOVING, REMOVED = "removing", "removed"
UNFINISHED = (".draft-", "reproduce-")
"""Prefixes of temporary folders: another process may still use them, but not after a day."""
DAY = 86_400


class CollectedGarbage(Record):
    """What was removed, or would be, with its size in bytes; a dry run does not look for what versions share."""

    versions: dict[str, int] = Field(description="Version -> bytes in the artifact store")
    local: dict[str, int] = Field(description="Path below .cl/ -> bytes")
    kept: dict[str, str] = Field(description="Version that keeps its files -> reason")
    freed: int = Field(description="Bytes that this frees: less than the sum where other versions share a file")
    shared: int = Field(0, description="Bytes freed by storing files once that versions have in common")

    @property
    def total(self) -> int:
        """Total bytes."""
        return self.freed + self.shared


def collect_garbage(
    stores: Stores, rules: RegistrySettings, *, unused: Sequence[Path] = (), dry_run: bool
) -> CollectedGarbage:
    """Remove the files of versions that no rule keeps, and local files that can be recreated or downloaded again.

    A version's registry entry, tags, run and record stay. It is tagged before its files are removed, so that a version
    with partly removed files cannot become champion, and the next call completes an interrupted one.

    Args:
        stores: the caller holds the project's lock and has repaired the ledger.
        rules: the retention rules.
        unused: folders below .cl/ that are no longer needed, such as the journals of finished cycles.
        dry_run: only report what would be removed.
    """
    registry, versions = stores.registry, stores.registry.versions()
    kept = reasons_to_keep(stores, versions, rules, now=datetime.now(UTC))
    removable = [info for info in versions if info.version not in kept and info.tags.get(FILES) != REMOVED]
    sizes = {info.version: registry.files.bytes_of(info) for info in removable}
    folders = {info.version: registry.files.folder(info.version) for info in removable}
    bases = _unused_bases(stores, [info for info in versions if info.version in kept])
    paths = [*_removable_paths(stores, unused), *bases]
    elsewhere = sum(sizes[version] for version, folder in folders.items() if folder is None)
    garbage = CollectedGarbage(
        versions=sizes,
        local={str(path.relative_to(stores.project.work)): _size(path) for path in paths},
        kept=kept,
        freed=elsewhere + freed_bytes([*paths, *(folder for folder in folders.values() if folder is not None)]),
    )
    if dry_run:
        return garbage
    for info in removable:
        registry.files.keep_record(info)
        registry.tag_version(info.version, WITHDRAWN, info.withdrawn or "its files were removed by cl gc")
        registry.tag_version(info.version, FILES, REMOVING)
        registry.files.delete_files(info)
        registry.tag_version(info.version, FILES, REMOVED)
    refresh_descriptions(registry, stores.ledger.entries(registry.model), [info.version for info in removable])
    for name in garbage.local:
        _remove(stores.project.work / name)
    return garbage.model_copy(update={"shared": _share_files(stores, list(kept))})


def _share_files(stores: Stores, versions: Sequence[str]) -> int:
    """Store what versions have in common once, on this machine; return the bytes saved.

    New versions do so when they are registered; older ones, and copies of a project, may not.
    """
    files = stores.registry.files
    stored = {version: folder for version in versions if (folder := files.learner_folder(version)) is not None}
    saved = 0
    for models in {models_folder(folder.parents[1]) for folder in stored.values()}:
        remove_unfinished_links(models)
        saved += share_among((folder for folder in stored.values() if models in folder.parents), models)
    copies = stores.project.work / "versions"
    for version, folder in stored.items():
        saved += share_equal_files(copies / version, [folder], copies, which=is_linked)
    return saved


def reasons_to_keep(
    stores: Stores, versions: Sequence[VersionInfo], rules: RegistrySettings, *, now: datetime
) -> dict[str, str]:
    """Return the versions that keep their files, each with the first reason that applies."""
    ledger, model = stores.ledger, stores.registry.model
    champion, moving = ledger.champion(model), ledger.open_intent(model)
    reasons: dict[str, str] = {}
    if champion is not None:
        reasons[champion] = "champion"
    if (previous := state.previous_champion(ledger.entries(model))) is not None:
        reasons.setdefault(previous, "target of cl rollback")
    if moving is not None and moving.to_version is not None:
        reasons.setdefault(moving.to_version, "it is being promoted")
    for info in versions:
        for alias in info.aliases:
            reasons.setdefault(info.version, f"alias {alias}")
    available, passed = [info for info in versions if info.withdrawn is None], passed_versions(versions)
    for version in passed[len(passed) - rules.keep_last :] if rules.keep_last else []:
        reasons.setdefault(version, f"one of the last {rules.keep_last}")
    for info in available:
        if now - info.created < timedelta(days=rules.keep_days):
            reasons.setdefault(info.version, f"younger than {rules.keep_days:g} days")
    for teacher in teachers(champion, versions):
        reasons.setdefault(teacher, "the champion was derived from it")
    if (base := _training_base(stores, versions, champion)) is not None:
        reasons.setdefault(base, "the next update starts from it")
    return {info.version: reasons[info.version] for info in versions if info.version in reasons}


def _training_base(stores: Stores, versions: Sequence[VersionInfo], champion: str | None) -> str | None:
    """Return the earlier version that the next update starts from if the champion's weights retain deleted data."""
    info = next((info for info in versions if info.version == champion), None)
    history = read_history(stores.registry, info) if info else None
    if history is None or not history.residual_experiences:
        return None
    return find_base(stores, local_version(stores, champion)).version


def _removable_paths(stores: Stores, unused: Sequence[Path]) -> list[Path]:
    """Return files below .cl/ that can be recreated or downloaded: version copies, caches and unused folders."""
    work, entries = stores.project.work, stores.ledger.entries(stores.registry.model)
    serving = (state.champion(entries), state.previous_champion(entries))
    copies = [path for path in work.glob("versions/*") if path.name not in serving]
    known = {f"{experience.id}-{experience.digest[:16]}.npy" for experience in stores.experiences.all()}
    hashes = [path for path in work.glob("known/*") if path.name not in known]
    caches = [work / name for name in (*CACHES, TAGGERS)]
    paths = [path for path in [*copies, *caches, *hashes, *unused, *work.glob("reproduce-*")] if path.exists()]
    return [
        path for path in paths if not (path.name.startswith(UNFINISHED) and time.time() - path.stat().st_mtime < DAY)
    ]


def _unused_bases(stores: Stores, kept: Sequence[VersionInfo]) -> list[Path]:
    """Return the bases of language models in the project that no kept version refers to.

    One that was put there within a day stays, for a version may be about to refer to it; all stay if the store has
    lost what a version refers to.
    """
    bases = [path for path in stores.project.work.glob("bases/*") if time.time() - path.stat().st_mtime > DAY]
    if not bases:
        return []
    from cl.models.base_files import LanguageBase

    used = set()
    for info in kept:
        text = stores.registry.files.record(info, "learner.json")
        if text is None:
            return []
        base = json.loads(text).get("base")
        used |= {LanguageBase(base["name"], base["files"]).digest} if base else set()
    return [path for path in bases if path.name not in used]


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
        return
    aside = path if path.name.startswith(TRASH_PREFIX) else path.with_name(f"{TRASH_PREFIX}{path.name}")
    if aside != path:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    shutil.rmtree(aside)
