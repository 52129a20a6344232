"""What no longer serves and is not needed frees its space; what it was, and why, stays on record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field

from cl.config import RegistrySettings
from cl.records import WITHDRAWN, Record, VersionInfo
from cl.registry.lineage import find_base, local_version, read_history, teachers
from cl.registry.versions import passed_versions
from cl.stores.data.removal import CACHES
from cl.stores.ledger import state
from cl.stores.stores import Stores

FILES = "cl.files"
GOING, GONE = "removing", "removed"
UNFINISHED = (".draft-", "reproduce-")
"""Beside these another process may be at work; after a day nobody is."""
DAY = 86_400
ASIDE = ".gone-"
"""Before the name of a folder that is about to be removed: half of it must not be taken for the whole."""


class CollectedGarbage(Record):
    """What was removed, or would be, with its bytes."""

    versions: dict[str, int] = Field(description="Version -> bytes in the artifact store")
    local: dict[str, int] = Field(description="Path below .cl/ -> bytes")
    kept: dict[str, str] = Field(description="Version that keeps its files -> why")

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.versions.values()) + sum(self.local.values())


def collect_garbage(
    stores: Stores, rules: RegistrySettings, *, unused: Sequence[Path] = (), dry_run: bool
) -> CollectedGarbage:
    """Remove the files of versions that no rule keeps, and what this machine can make or bring again.

    A version's row, tags, run and record stay. It is marked before its files go, so that none can be made champion
    whose files are half there, and a run that was killed is finished by the next.

    Args:
        stores: the caller holds the project's lock, and has repaired the ledger.
        rules: what is kept.
        unused: folders below .cl/ that are of no use any more, such as the journals of cycles that ended.
        dry_run: only say what would go.
    """
    registry, versions = stores.registry, stores.registry.versions()
    kept = reasons_to_keep(stores, versions, rules, now=datetime.now(UTC))
    going = [one for one in versions if one.version not in kept and one.tags.get(FILES) != GONE]
    found = CollectedGarbage(
        versions={one.version: registry.bytes_of(one) for one in going},
        local={str(path.relative_to(stores.project.work)): _size(path) for path in _local(stores, unused)},
        kept=kept,
    )
    if dry_run:
        return found
    for one in going:
        registry.keep_record(one)
        registry.tag_version(one.version, WITHDRAWN, one.withdrawn or "its files were removed by cl gc")
        registry.tag_version(one.version, FILES, GOING)
        registry.delete_files(one)
        registry.tag_version(one.version, FILES, GONE)
    for name in found.local:
        _remove(stores.project.work / name)
    return found


def reasons_to_keep(
    stores: Stores, versions: Sequence[VersionInfo], rules: RegistrySettings, *, now: datetime
) -> dict[str, str]:
    """Return the versions that keep their files, each with the first reason that holds."""
    ledger, model = stores.ledger, stores.registry.model
    champion, moving = ledger.champion(model), ledger.open_intent(model)
    reasons: dict[str, str] = {}
    if champion is not None:
        reasons[champion] = "champion"
    if (before := state.previous_champion(ledger.entries(model))) is not None:
        reasons.setdefault(before, "cl rollback goes to it")
    if moving is not None and moving.to_version is not None:
        reasons.setdefault(moving.to_version, "it is being promoted")
    for one in versions:
        for alias in one.aliases:
            reasons.setdefault(one.version, f"alias {alias}")
    able, good = [one for one in versions if one.withdrawn is None], passed_versions(versions)
    for version in good[len(good) - rules.keep_last :] if rules.keep_last else []:
        reasons.setdefault(version, f"one of the last {rules.keep_last}")
    for one in able:
        if now - one.created < timedelta(days=rules.keep_days):
            reasons.setdefault(one.version, f"younger than {rules.keep_days:g} days")
    for teacher in teachers(champion, versions):
        reasons.setdefault(teacher, "the champion was derived from it")
    if (base := _base(stores, versions, champion)) is not None:
        reasons.setdefault(base, "the next update starts from it")
    return {one.version: reasons[one.version] for one in versions if one.version in reasons}


def _base(stores: Stores, versions: Sequence[VersionInfo], champion: str | None) -> str | None:
    """Return the older version that the next update starts from, where the champion's weights must forget."""
    info = next((one for one in versions if one.version == champion), None)
    history = read_history(stores.registry, info) if info else None
    if history is None or not history.residual_experiences:
        return None
    return find_base(stores, local_version(stores, champion)).version


def _local(stores: Stores, unused: Sequence[Path]) -> list[Path]:
    """Return what lies below .cl/ and can be brought or made again: copies of versions, caches, what is unused."""
    work, entries = stores.project.work, stores.ledger.entries(stores.registry.model)
    serving = (state.champion(entries), state.previous_champion(entries))
    copies = [path for path in work.glob("versions/*") if path.name not in serving]
    known = {f"{one.id}-{one.digest[:16]}.npy" for one in stores.experiences.all()}
    hashes = [path for path in work.glob("known/*") if path.name not in known]
    caches = [work / name for name in CACHES]
    found = [path for path in [*copies, *caches, *hashes, *unused, *work.glob("reproduce-*")] if path.exists()]
    return [
        path for path in found if not (path.name.startswith(UNFINISHED) and time.time() - path.stat().st_mtime < DAY)
    ]


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
        return
    aside = path if path.name.startswith(ASIDE) else path.with_name(f"{ASIDE}{path.name}")
    if aside != path:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    shutil.rmtree(aside)
